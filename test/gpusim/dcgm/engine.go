package dcgm

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gpulet/gpulet/test/gpusim/model"
)

// Config says what an engine is.
type Config struct {
	Node *model.Node
	// Caller is the process that the engine lives in.
	Caller model.Caller
	// Version is that of DCGM, such as "4.6.1".
	Version string
	Faults  *Faults
	// Embedded engines are in the client's own process.
	Embedded bool
}

// Engine is one host engine. Make it with New, Run it once, and make Sessions of it.
type Engine struct {
	cfg    Config
	client *model.Client
	table  table
	calls  map[string]handler
	force  chan chan struct{}
	wake   chan struct{} // capacity 1

	mu       sync.Mutex // guards the rest
	nvml     model.Return
	detached bool
	series   map[string]*series
	lastID   uint32
	sessions map[uint32]*Session
	boot     string
	xidSeen  uint64
	xids     []model.XID // the newest since the engine's start
	xidCount int         // of all since then
}

// New makes an engine; it takes NVML as any process does.
func New(ctx context.Context, cfg Config) *Engine {
	if cfg.Version == "" {
		cfg.Version = "4.6.1"
	}
	e := &Engine{
		cfg: cfg, client: cfg.Node.Connect(cfg.Caller), table: newTable(), calls: calls(), force: make(chan chan struct{}), wake: make(chan struct{}, 1),
		series: map[string]*series{}, sessions: map[uint32]*Session{},
	}
	e.nvml = e.client.InitWithFlags(ctx, 0)
	all, boot := cfg.Node.XIDs(0)
	e.boot = boot
	if len(all) > 0 {
		e.xidSeen = all[len(all)-1].Seq
	}
	return e
}

// Close gives NVML back. Run has ended before.
func (e *Engine) Close() { e.client.Close() }

// Run samples what is watched until ctx ends.
func (e *Engine) Run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		changed := e.cfg.Node.Changed()
		timer.Reset(e.cycle(ctx))
		select {
		case <-timer.C:
		case <-e.wake:
		case <-changed:
		case done := <-e.force:
			e.cycle(ctx)
			close(done)
		case <-ctx.Done():
			return
		}
	}
}

// update waits for a whole cycle; false when ctx ends before.
func (e *Engine) update(ctx context.Context) bool {
	done := make(chan struct{})
	select {
	case e.force <- done:
	case <-ctx.Done():
		return false
	}
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}

func (e *Engine) poke() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// usable says why the engine cannot answer of GPUs.
func (e *Engine) usable() Status {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.detached:
		return Detached
	case e.nvml != model.Success:
		return NvmlNotLoaded
	}
	return OK
}

// attach takes the driver again, detach lets go of it: nothing of the engine holds a GPU then, and nothing is sampled.
func (e *Engine) attach(ctx context.Context) Status {
	e.mu.Lock()
	if !e.detached && e.nvml == model.Success {
		e.mu.Unlock()
		return OK
	}
	e.mu.Unlock()
	r := e.client.InitWithFlags(ctx, 0)
	e.mu.Lock()
	e.nvml, e.detached = r, false
	e.mu.Unlock()
	e.poke()
	if r != model.Success {
		return NvmlNotLoaded
	}
	return OK
}

func (e *Engine) detach(ctx context.Context) Status {
	e.mu.Lock()
	e.detached = true
	e.mu.Unlock()
	_ = e.client.Shutdown(ctx)
	return OK
}

// has says whether this version of DCGM knows the field.
func (e *Engine) has(id uint16) bool { return Known(id) && (!later(id) || newer(e.cfg.Version, 4, 6)) }

// newer says whether a version is that one or later.
func newer(version string, major, minor int) bool {
	parts := strings.SplitN(version+".0", ".", 3)
	a, _ := strconv.Atoi(parts[0])
	b, _ := strconv.Atoi(parts[1])
	return cmp.Or(cmp.Compare(a, major), cmp.Compare(b, minor)) >= 0
}

// cycle samples every series that is due and says how long nothing is.
func (e *Engine) cycle(ctx context.Context) time.Duration {
	e.collectXIDs()
	if e.usable() != OK {
		return time.Second
	}
	now := e.cfg.Node.Now()
	all := layout(e.cfg.Node)
	e.mu.Lock()
	var due []*series
	for key, s := range e.series {
		if s.entity.group == Instance || s.entity.group == Compute {
			if x := find(all, s.entity.group, s.entity.id); x == nil || x.key(s.field.ID) != key {
				delete(e.series, key) // the instance is gone, and its watches with it
				continue
			}
		}
		if !s.next.After(now) {
			due = append(due, s)
		}
	}
	e.mu.Unlock()
	slices.SortFunc(due, func(a, b *series) int { return cmp.Compare(a.field.ID, b.field.ID) })
	for _, s := range due {
		e.sample(ctx, s)
		if ctx.Err() != nil {
			return time.Hour
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	wait := time.Hour
	for _, s := range e.series {
		wait = min(wait, s.next.Sub(e.cfg.Node.Now()))
	}
	if len(e.series) > 0 {
		wait = min(wait, time.Second) // another clock than this machine's may go faster
	}
	return max(wait, time.Millisecond)
}

// xidsKept is how many an engine remembers for its next cycle.
const xidsKept = 1024

// collectXIDs takes what the driver reported and tells the sessions that registered for it.
func (e *Engine) collectXIDs() {
	e.mu.Lock()
	defer e.mu.Unlock()
	list, boot := e.cfg.Node.XIDs(e.xidSeen)
	if boot != e.boot {
		e.boot, e.xidSeen = boot, 0
		list, _ = e.cfg.Node.XIDs(0)
	}
	for _, x := range list {
		e.xidSeen = x.Seq
		e.xids, e.xidCount = append(e.xids, x), e.xidCount+1
		e.xids = e.xids[max(0, len(e.xids)-xidsKept):]
		for _, s := range e.sessions {
			s.tell(x)
		}
	}
}
