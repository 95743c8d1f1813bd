package attribute

import (
	"testing"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/kubelet"
)

func TestResolver(t *testing.T) {
	now := at(0)
	world, asked := people{1: "a/main"}, 0
	r := NewResolver(askFunc(func(pid int) (kubelet.UID, string, bool) { asked++; return world.Container(pid) }), func() time.Time { return now })
	list := map[gpu.UUID][]gpu.ProcessUse{wholeGPU: {on(1, 0, 0)}, slicedGP: {on(2, 0, 0)}}
	check := func(what string, pid int, pod string, asks int) {
		t.Helper()
		r.Keep(list)
		before := asked
		uid, container, ok := r.Container(pid)
		if ok != (pod != "") || ok && (uid != uidOf(pod) || container != "main") || asked-before != asks {
			t.Errorf("%s: %q %q %v, asked %d times", what, uid, container, ok, asked-before)
		}
	}
	check("found", 1, "a", 1)
	delete(world, 1)
	now = now.Add(time.Hour)
	check("found once, and listed still", 1, "a", 0)
	check("not found", 2, "", 1)
	world[2] = "b/main"
	now = now.Add(askAgain - time.Millisecond)
	check("not found a moment ago", 2, "", 0)
	now = now.Add(time.Millisecond)
	check("asked again", 2, "b", 1)
	delete(list, wholeGPU)
	check("others stay", 2, "b", 0)
	world[1] = "c/main"
	check("a number that comes again", 1, "c", 1)
}

func TestResolverIsBounded(t *testing.T) {
	r := NewResolver(people{}, func() time.Time { return at(0) })
	for pid := range remembered + 100 {
		r.Container(pid)
	}
	if len(r.known) != remembered {
		t.Errorf("%d are remembered", len(r.known))
	}
}
