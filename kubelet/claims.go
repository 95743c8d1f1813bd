package kubelet

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gpulet/gpulet/gpu"
)

// Assignments answers what podresources says. Resources does.
type Assignments interface {
	Feed() *gpu.Feed[*Assigned]
	Refresh(ctx context.Context) (*Assigned, error)
}

// ClaimsConfig is what Claims need.
type ClaimsConfig struct {
	// StateDir keeps the claims over restarts of the agent; empty: nothing is kept.
	StateDir string
	// BootID is the kernel's; claims of another boot are kept only as far as the kubelet has them too.
	BootID    string
	Pods      *gpu.Feed[*Pods]
	Resources Assignments
	// Checkpoint is the path of the kubelet's device checkpoint.
	Checkpoint string
	Gate       *Gate
	// Ours says whether a resource of the kubelet is one that we account for. It must not block.
	Ours func(resource string) bool
	Log  *slog.Logger
}

const (
	// lookEvery is between two looks at the kubelet's checkpoint; lookSoon while a fresh claim, younger than freshFor, is unconfirmed.
	lookEvery, lookSoon = time.Second, 50 * time.Millisecond
	freshFor            = 5 * time.Second
)

// Claims is the account of who holds what, kept over restarts. The rules are those of book.
// Its calls answer from memory, except Owner, which may look again at what the kubelet says.
type Claims struct {
	cfg   ClaimsConfig
	feed  *gpu.Feed[*ClaimSet]
	wake  chan struct{} // capacity 1: Open was called
	saves saver

	mu       sync.Mutex
	book     *book // guarded by mu
	complete bool  // guarded by mu

	file checkpointFile
}

// NewClaims makes an empty account; nothing is read before Run.
func NewClaims(cfg ClaimsConfig) *Claims {
	if cfg.Gate == nil {
		cfg.Gate = &Gate{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Ours == nil {
		cfg.Ours = func(string) bool { return true }
	}
	c := &Claims{
		cfg: cfg, book: newBook(), wake: make(chan struct{}, 1), saves: newSaver(cfg.StateDir, cfg.Log),
		file: checkpointFile{path: cfg.Checkpoint},
	}
	c.feed = gpu.NewFeed(c.book.set(false))
	return c
}

// Feed has the open claims. Reading costs nothing.
func (c *Claims) Feed() *gpu.Feed[*ClaimSet] { return c.feed }

// Open opens the claims of an Allocate. When it returns they are in the feed; the file follows. It never fails.
func (c *Claims) Open(resource string, ids []string) {
	pods, _ := c.cfg.Pods.Get()
	c.mu.Lock()
	c.book.open(resource, ids, pods, time.Now())
	last, _ := c.feed.Get()
	c.feed.Set(c.book.with(last, ids))
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Describe tells who holds a device, since when and why still: several when containers share it. An empty id means all.
func (c *Claims) Describe(id string) []Holding {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(c.book.list(), func(h Holding) bool { return id != "" && h.ID != id })
}

// Run reads what was kept and what the kubelet knows, and keeps the account until ctx ends.
func (c *Claims) Run(ctx context.Context) error {
	saving, stop := context.WithCancel(context.WithoutCancel(ctx))
	var g errgroup.Group
	g.Go(func() error {
		c.saves.run(saving)
		return nil
	})
	defer func() {
		c.mu.Lock()
		c.saves.put(c.cfg.BootID, c.book.set(c.complete)) // with what was opened since the last look
		c.mu.Unlock()
		stop()
		_ = g.Wait()
	}()
	c.load()
	for ctx.Err() == nil {
		pods, podsChanged := c.cfg.Pods.Get()
		assigned, assignedChanged := c.cfg.Resources.Feed().Get()
		soon := c.look(pods, assigned)
		every := lookEvery
		if soon {
			every = lookSoon
		}
		t := time.NewTimer(every)
		select {
		case <-podsChanged:
		case <-assignedChanged:
		case <-c.wake:
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
	}
	return nil
}

// load takes over what an earlier process kept.
func (c *Claims) load() {
	state, err := loadClaims(c.cfg.StateDir)
	if err != nil {
		// What the kubelet knows is enough for all but allocations that were under way. The file is kept for whoever wonders.
		c.cfg.Log.Error("the kept claims cannot be read; going on with what the kubelet knows", "reason", err.Error())
		bad := filepath.Join(c.cfg.StateDir, claimsFile)
		_ = os.Rename(bad, bad+".bad")
	}
	checkpoint, _ := c.file.read() // look says why it fails
	c.mu.Lock()
	defer c.mu.Unlock()
	c.book.restore(state, c.cfg.BootID, checkpoint)
}

// look compares the account with all evidence. It returns whether to look again soon.
func (c *Claims) look(pods *Pods, assigned *Assigned) (soon bool) {
	checkpoint, fileErr := c.file.read()
	if fresh := c.file.news(fileErr); fresh != "" {
		c.cfg.Log.Warn("the kubelet's checkpoint cannot be used", "reason", fresh)
	}
	c.mu.Lock()
	now := time.Now()
	c.book.reconcile(&evidence{
		now: now, pods: pods, assigned: assigned, checkpoint: checkpoint, idle: c.cfg.Gate.Idle(), ours: c.cfg.Ours,
	})
	first := !c.complete && accounted(checkpoint, assigned)
	c.complete = c.complete || first
	notes, changed := c.book.notes, c.book.changed
	c.book.notes, c.book.changed = nil, false
	for _, h := range c.book.claims {
		soon = soon || !h.Confirmed && now.Sub(h.Opened) < freshFor
	}
	set := c.book.set(c.complete)
	if first || changed {
		c.feed.Set(set)
		c.saves.put(c.cfg.BootID, set)
	}
	c.mu.Unlock()
	for _, n := range notes {
		c.cfg.Log.Info("claim "+n.what, "resource", n.claim.Resource, "id", n.claim.ID, "namespace", n.claim.Namespace,
			"pod", n.claim.Name, "container", n.claim.Container, "uid", string(n.claim.Pod), "reason", n.reason)
	}
	if first {
		c.cfg.Log.Info("claims are complete", "devices", len(set.ByID))
	}
	return soon
}

// accounted reports whether the kubelet's own account was seen, or there is none. Its checkpoint is enough: it is written within
// each allocation. Without it podresources must have answered, or there is no kubelet at all.
func accounted(checkpoint *Checkpoint, assigned *Assigned) bool {
	switch {
	case checkpoint != nil && !checkpoint.Absent, assigned.Synced:
		return true
	}
	return checkpoint != nil && assigned.Absent
}
