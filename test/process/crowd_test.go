package process

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/gpulet/gpulet/test/fakekubelet"
)

// crowd are pods that come and go at random, as a scheduler lets them: only where the Node object has room.
type crowd struct {
	n         *node
	resources []string
	cancel    context.CancelFunc
	workers   sync.WaitGroup

	admitted, rejected atomic.Int64

	mu        sync.Mutex
	requested map[string]int64 // by all pods that have not ended; guarded by mu
	calm      bool             // everything answers: no pod may fail; guarded by mu
	storms    int              // how often it was not calm; guarded by mu
}

// busy is how many pods come and go at the same time.
const busy = 4

// crowd starts pods until stop, beside those that have requested something already.
func (n *node) crowd(seed uint64, requested map[string]int64, resources ...string) *crowd {
	ctx, cancel := context.WithCancel(n.t.Context())
	c := &crowd{n: n, resources: resources, cancel: cancel, requested: requested, calm: true}
	for i := range busy {
		rng := mathrand.New(mathrand.NewPCG(seed, uint64(i)))
		c.workers.Go(func() {
			for ctx.Err() == nil {
				c.one(ctx, rng)
			}
		})
	}
	return c
}

// stop ends all pods of the crowd.
func (c *crowd) stop() {
	c.cancel()
	c.workers.Wait()
}

// storm has pods fail without complaint until the calm after it.
func (c *crowd) storm() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calm = false
	c.storms++
}

func (c *crowd) quiet() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calm = true
}

func (c *crowd) weather() (calm bool, storms int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calm, c.storms
}

// more waits until so many pods more were admitted.
func (c *crowd) more(pods int64) {
	c.n.t.Helper()
	ctx, cancel := within(c.n.t)
	defer cancel()
	goal := c.admitted.Load() + pods
	for c.admitted.Load() < goal {
		if !pause(ctx, 5*time.Millisecond) {
			c.n.t.Fatalf("%d pods admitted, not %d: %v", c.admitted.Load(), goal, c.n.healthy())
		}
	}
}

// one is one pod from its beginning to its end.
func (c *crowd) one(ctx context.Context, rng *mathrand.Rand) {
	resource, count := c.resources[rng.IntN(len(c.resources))], 1+rng.Int64N(2)
	if !c.reserve(resource, count) {
		pause(ctx, 10*time.Millisecond)
		return
	}
	defer c.release(resource, count)
	spec := fakekubelet.Requesting("", resource, count)
	spec.UID = newUID()
	calm, storms := c.weather()
	_, err := c.n.runPod(spec, resource)
	if still, now := c.weather(); err != nil && calm && still && storms == now {
		c.n.t.Errorf("a pod that asks for %d of %s failed while all was well: %v", count, resource, err)
	}
	var rejected *fakekubelet.RejectedError
	switch {
	case err == nil:
		c.admitted.Add(1)
		stay := rng.IntN(150)
		if rng.IntN(8) == 0 {
			stay *= 10
		}
		pause(ctx, time.Duration(stay)*time.Millisecond)
	case errors.As(err, &rejected):
		c.rejected.Add(1)
	default: // the kubelet was away; a pod that it knows all the same goes below
		pause(ctx, 20*time.Millisecond)
	}
	switch rng.IntN(3) {
	case 0: // it ends by itself and its object stays for a moment
		c.n.stays.end(spec.UID)
		c.n.kubelet.EndPod(spec.UID, corev1.PodSucceeded)
		pause(ctx, time.Duration(rng.IntN(50))*time.Millisecond)
	case 1: // it is told to end and takes its time
		c.n.kubelet.StopPod(spec.UID)
		pause(ctx, time.Duration(rng.IntN(50))*time.Millisecond)
	}
	c.n.end(spec.UID)
}

func (c *crowd) reserve(resource string, count int64) bool {
	allocatable := c.n.kubelet.Allocatable(resource)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.requested[resource]+count > allocatable {
		return false
	}
	c.requested[resource] += count
	return true
}

func (c *crowd) release(resource string, count int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requested[resource] -= count
}

func newUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
