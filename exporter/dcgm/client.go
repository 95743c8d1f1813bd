package dcgm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/gpulet/gpulet/gpu"
)

// Config is what a Client needs.
type Config struct {
	// Library is libdcgm's path, NVML that of libnvidia-ml.so.1 for an engine inside the worker.
	// Empty: as the loader finds it, then in the library folders below DriverRoot.
	Library, NVML, DriverRoot string
	// Host is a host engine, "tcp://host:5555", "unix:///path", "vsock://cid:port" or "host:port"; empty: an engine inside the worker.
	Host string
	// Memory is the most private memory that the worker may have, in bytes; 512 MiB unless set.
	Memory uint64
	// Fast is the period of readings and of what changes fast, until Pace says another; 1 s unless set.
	Fast time.Duration
	// Command is the program and the arguments that start the worker; this program with "dcgm-worker" unless set.
	Command []string
	// StartTimeout is how long connecting may take, 30 s unless set; AnswerTimeout a reading, 5 s unless set.
	StartTimeout, AnswerTimeout time.Duration
	Log                         *slog.Logger
}

// Client keeps a worker while fields are wanted, and publishes what it reads. Only Run blocks for long.
type Client struct {
	cfg     Config
	start   starter
	batches *gpu.Feed[*Batch]
	tasks   *gpu.Feed[task]
	told    gpu.Absence // what was logged last; Run's goroutine

	mu      sync.Mutex // guards what follows, and that tasks is set in order
	running bool
	idle    chan struct{} // closed while no worker runs
	kept    error         // why the engine at Host did not give the GPUs up
}

// task is what the worker shall do. Immutable.
type task struct {
	fields   []gpu.Field // ordered
	fast     time.Duration
	holds    int  // reasons to have no worker
	detached bool // the engine at Host gave the GPUs up for us, and has to take them back
}

func (t task) needed() bool { return len(t.fields) > 0 || t.detached }
func (t task) active() bool { return t.needed() && t.holds == 0 }

// New makes a Client that wants nothing yet.
func New(c Config) *Client {
	if len(c.Command) == 0 {
		c.Command = []string{self, "dcgm-worker"}
	}
	if c.Memory == 0 {
		c.Memory = 512 << 20
	}
	if c.Fast <= 0 {
		c.Fast = time.Second
	}
	if c.StartTimeout <= 0 {
		c.StartTimeout = 30 * time.Second
	}
	if c.AnswerTimeout <= 0 {
		c.AnswerTimeout = 5 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	idle := make(chan struct{})
	close(idle)
	return &Client{
		cfg: c, start: execute(c.Command, c.Log), idle: idle,
		batches: gpu.NewFeed(&Batch{}), tasks: gpu.NewFeed(task{fast: c.Fast}),
	}
}

// Batches has the newest values and the state; never nil.
func (c *Client) Batches() *gpu.Feed[*Batch] { return c.batches }

// Want says which fields are read from now on; none stops the worker.
func (c *Client) Want(fields []gpu.Field) {
	fields = slices.Compact(slices.Sorted(slices.Values(fields)))
	c.change(func(t *task) { t.fields = fields })
}

// Pace changes the period of readings and of what changes fast, from now on and without a gap.
func (c *Client) Pace(fast time.Duration) {
	if fast > 0 {
		c.change(func(t *task) { t.fast = fast })
	}
}

// change replaces the task if f changes it.
func (c *Client) change(f func(*task)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, _ := c.tasks.Get()
	n := t
	f(&n)
	if n.fast != t.fast || n.holds != t.holds || n.detached != t.detached || !slices.Equal(n.fields, t.fields) {
		c.tasks.Set(n)
	}
}

// Quiesce makes DCGM give up its handles so that the mode of a GPU can be changed: an engine inside the worker ends with it, one
// elsewhere is asked to detach, if it is connected to. It gives up all GPUs, whichever is meant. Release takes them back, and all
// entities are looked up anew. An error of an engine means that it keeps the GPUs.
func (c *Client) Quiesce(ctx context.Context, uuid gpu.UUID) (release func(), err error) {
	c.mu.Lock()
	c.kept = nil
	idle := c.idle
	c.mu.Unlock()
	c.change(func(t *task) { t.holds++ })
	release = sync.OnceFunc(func() { c.change(func(t *task) { t.holds-- }) })
	for {
		select {
		case <-idle:
		case <-ctx.Done():
			release()
			return nil, fmt.Errorf("make DCGM give up %s: %w", uuid, ctx.Err())
		}
		c.mu.Lock()
		running, kept := c.running, c.kept
		idle = c.idle
		c.mu.Unlock()
		switch {
		case running: // it began between the two
		case kept != nil:
			release()
			return nil, fmt.Errorf("make DCGM give up %s: %w", uuid, kept)
		default:
			return release, nil
		}
	}
}

// begin tells whether a worker may run now, and counts it as running.
func (c *Client) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t, _ := c.tasks.Get(); !t.active() {
		return false
	}
	c.running, c.idle = true, make(chan struct{})
	return true
}

func (c *Client) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running = false
	close(c.idle)
}

// errTold: the worker ended because it was told to.
var errTold = errors.New("not wanted any more")

// Run keeps the worker until ctx ends. It returns nil.
func (c *Client) Run(ctx context.Context) error {
	var (
		pause    backoff
		notUntil time.Time
		starting = gpu.Absence{Code: gpu.NoData, Text: "DCGM is being started"}
		down     = starting
		failed   bool
	)
	state := State{}
	defer func() { c.down(state, gpu.Absence{Code: gpu.NoSource, Text: "the agent is ending"}) }()
	for ctx.Err() == nil {
		t, changed := c.tasks.Get()
		state.Wanted = len(t.fields) > 0
		wait := time.Until(notUntil)
		switch {
		case !state.Wanted:
			c.down(state, gpu.Absence{Code: gpu.NoSource, Text: "no field of DCGM is wanted"})
		case t.holds > 0:
			c.down(state, gpu.Absence{Code: gpu.NoData, Text: "DCGM gave the GPUs up while their layout changes"})
		default:
			c.down(state, down)
		}
		if !t.active() || wait > 0 {
			timer := time.NewTimer(wait)
			if !t.active() {
				timer.Stop()
			}
			select {
			case <-ctx.Done():
			case <-changed:
			case <-timer.C:
			}
			timer.Stop()
			continue
		}
		if !c.begin() {
			continue
		}
		if failed {
			state.Restarts++
		}
		s := &session{c: c, task: t, changed: changed, state: state, before: down}
		err := s.run(ctx)
		c.end()
		state.Reconnects, state.Version, state.Host = s.state.Reconnects, s.state.Version, s.state.Host
		if failed = !errors.Is(err, errTold) && ctx.Err() == nil; !failed {
			down = starting
			continue
		}
		down = *absenceOf(err)
		longest := longestPause
		if down.Code == gpu.Lost { // the driver is away, and may be back any moment
			longest = longestReconnect
		}
		d := pause.next(s.good, longest)
		notUntil = time.Now().Add(d)
		c.tell("DCGM's worker failed", down, d)
	}
	return nil
}

// tell logs why nothing comes, when that is something new: on a node without DCGM it is the same for ever.
func (c *Client) tell(what string, why gpu.Absence, again time.Duration) {
	log := c.cfg.Log.Warn
	if why == c.told {
		log = c.cfg.Log.Debug
	}
	c.told = why
	log(what, "reason", why.Text, "code", why.Code, "again_in", again)
}

// down publishes that nothing new comes. The last readings stay: their times tell how old they are.
func (c *Client) down(s State, why gpu.Absence) {
	old, _ := c.batches.Get()
	s.Up, s.Reason, s.Code = false, why.Text, why.Code
	b := &Batch{At: old.At, Readings: old.Readings, State: s}
	if !s.Wanted {
		b.Readings = nil
	}
	if old.State != s || !s.Wanted {
		c.batches.Set(b)
	}
}
