package apiserver

import (
	"encoding/json"
	"maps"
	"runtime"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/watch"
	"pgregory.net/rapid"
)

func quantity(t testing.TB, s string) resource.Quantity {
	t.Helper()
	q, err := resource.ParseQuantity(s)
	if err != nil {
		t.Errorf("quantity %q: %v", s, err)
	}
	return q
}

const (
	whole = "nvidia.com/gpu"
	slice = "nvidia.com/mig-1g.10gb"
)

// says waits until the client knows this of the Node.
func says(t *testing.T, c *Client, want map[string]int64) {
	t.Helper()
	eventually(t, "the Node's counts", func() bool {
		got, ok := c.Allocatable()
		return ok && maps.Equal(got, want)
	})
}

func TestNodeIsReadAndPatched(t *testing.T) {
	for name, asJSON := range map[string]bool{"protobuf": false, "JSON": true} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			s.json = asJSON
			s.do(func() {
				s.node.Status.Allocatable = corev1.ResourceList{
					"cpu": quantity(t, "4"), "hugepages-2Mi": quantity(t, "0"), "x.kubernetes.io/y": quantity(t, "1"), "example.com/fpga": quantity(t, "2"),
				}
			})
			c := s.client(Config{})
			if _, ok := c.Allocatable(); ok {
				t.Error("the Node is known before Run")
			}
			run(t, c)
			says(t, c, map[string]int64{"example.com/fpga": 2})
			if err := c.PatchResources(t.Context(), map[string]Count{whole: {Capacity: 8, Allocatable: 7}, slice: {}}); err != nil {
				t.Fatal(err)
			}
			says(t, c, map[string]int64{"example.com/fpga": 2, whole: 7, slice: 0})
			if err := c.PatchResources(t.Context(), map[string]Count{slice: {Remove: true}}); err != nil {
				t.Fatal(err)
			}
			says(t, c, map[string]int64{"example.com/fpga": 2, whole: 7})
			s.do(func() {
				if q := s.node.Status.Capacity[whole]; q.Value() != 8 || len(s.node.Status.Capacity) != 1 {
					t.Errorf("capacity %v", s.node.Status.Capacity)
				}
				s.node.Status.Allocatable[whole] = quantity(t, "8") // the kubelet writes, too
				s.tell(watch.Modified, s.node)
			})
			says(t, c, map[string]int64{"example.com/fpga": 2, whole: 8})
		})
	}
}

func TestBadPatchesAreNotSent(t *testing.T) {
	s := newServer(t)
	c := s.client(Config{})
	for _, counts := range []map[string]Count{
		{"cpu": {Capacity: 1}},
		{"x.kubernetes.io/y": {}},
		{whole: {Capacity: 1, Allocatable: 2}},
		{whole: {Capacity: 1, Allocatable: -1}},
		{whole: {Capacity: 1, Allocatable: 1}, "memory": {Remove: true}},
	} {
		if err := c.PatchResources(t.Context(), counts); err == nil {
			t.Errorf("%v is written", counts)
		}
	}
	if err := c.PatchResources(t.Context(), nil); err != nil {
		t.Error(err)
	}
	s.do(func() {
		if s.writes > 0 {
			t.Errorf("%d writes", s.writes)
		}
		s.refuse["PATCH status"] = apierrors.NewForbidden(corev1.Resource("nodes"), "n1", nil)
	})
	err := c.PatchResources(t.Context(), map[string]Count{whole: {}})
	if err == nil || !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "needs the verb patch on nodes/status") {
		t.Errorf("error %v", err)
	}
	s.stop()
	if err := c.PatchResources(t.Context(), map[string]Count{whole: {}}); err == nil || !strings.Contains(err.Error(), whole) {
		t.Errorf("error %v", err)
	}
}

func TestNodeWhileTheServerIsAway(t *testing.T) {
	s := newServer(t)
	c := s.client(Config{})
	run(t, c)
	says(t, c, map[string]int64{})
	goroutines := runtime.NumGoroutine()
	for n := range 20 {
		s.stop()
		eventually(t, "the Node is not known", func() bool { _, ok := c.Allocatable(); return !ok })
		s.do(func() {
			s.node.Status.Allocatable = corev1.ResourceList{whole: *resource.NewQuantity(int64(n), resource.DecimalSI)}
		})
		s.start()
		says(t, c, map[string]int64{whole: int64(n)})
	}
	eventually(t, "no goroutines are left of the outages", func() bool { return runtime.NumGoroutine() <= goroutines+2 })
	s.do(func() { s.tell(watch.Deleted, s.node) })
	eventually(t, "the Node is gone", func() bool { _, ok := c.Allocatable(); return !ok })
}

// Whatever is asked for, a patch names nothing else, and both lists have the same keys.
func TestPatchNamesOnlyWhatIsAsked(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		counts := rapid.MapOf(rapid.SampledFrom([]string{whole, slice, "a.b/c", "example.com/x"}), rapid.Custom(func(t *rapid.T) Count {
			capacity := rapid.Int64Range(0, 1<<40).Draw(t, "capacity")
			return Count{capacity, rapid.Int64Range(0, capacity).Draw(t, "allocatable"), rapid.Bool().Draw(t, "remove")}
		})).Draw(t, "counts")
		b, err := resourcesPatch(counts)
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]map[string]map[string]*string
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		if len(got) != 1 || len(got["status"]) != 2 {
			t.Fatalf("patch %s", b)
		}
		for _, l := range got["status"] {
			if len(l) != len(counts) {
				t.Fatalf("patch %s of %v", b, counts)
			}
			for name, v := range l {
				if c, ok := counts[name]; !ok || c.Remove != (v == nil) {
					t.Fatalf("patch %s of %v", b, counts)
				}
			}
		}
	})
}
