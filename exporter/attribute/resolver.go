package attribute

import (
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/kubelet"
)

// ContainerOf tells whose a host process is; kubelet.Processes does.
type ContainerOf interface {
	// Container is the pod that a process belongs to and the id of its container, "" when only the pod is known;
	// false when it belongs to none or is gone.
	Container(pid int) (pod kubelet.UID, container string, ok bool)
}

const (
	// askAgain is after how long a process that was of no pod is looked up again.
	askAgain = 5 * time.Second
	// remembered is how many processes a Resolver remembers at most; a node's GPUs have some hundred.
	remembered = 16384
)

// Resolver is a ContainerOf that remembers: a process that was found stays found while it is listed, also when it ends before
// the driver stops listing it. It belongs to one goroutine.
type Resolver struct {
	next  ContainerOf
	now   func() time.Time
	known map[int]answer
}

type answer struct {
	pod       kubelet.UID
	container string
	ok        bool
	asked     time.Time
}

// NewResolver remembers what next says.
func NewResolver(next ContainerOf, now func() time.Time) *Resolver {
	return &Resolver{next: next, now: now, known: map[int]answer{}}
}

// Container implements ContainerOf.
func (r *Resolver) Container(pid int) (pod kubelet.UID, container string, ok bool) {
	now := r.now()
	a, known := r.known[pid]
	if !known || !a.ok && now.Sub(a.asked) >= askAgain {
		a = answer{asked: now}
		a.pod, a.container, a.ok = r.next.Container(pid)
		if known || len(r.known) < remembered {
			r.known[pid] = a
		}
	}
	return a.pod, a.container, a.ok
}

// Keep forgets the processes that are not listed any more: their numbers may come again. It is called before each Shares.
func (r *Resolver) Keep(uses map[gpu.UUID][]gpu.ProcessUse) {
	listed := map[int]bool{}
	for _, list := range uses {
		for _, u := range list {
			listed[u.PID] = true
		}
	}
	for pid := range r.known {
		if !listed[pid] {
			delete(r.known, pid)
		}
	}
}
