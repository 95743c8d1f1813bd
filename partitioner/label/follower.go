package label

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"reflect"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/partitioner"
	"github.com/gpulet/gpulet/partitioner/parted"
)

// Names on the Node.
const (
	// ConfigLabel names the configuration that is wanted; StateLabel says how far it came. They are mig-manager's.
	ConfigLabel = "nvidia.com/mig.config"
	StateLabel  = "nvidia.com/mig.config.state"
	// ConditionType is the condition that says why.
	ConditionType = "gpulet.dev/MIGLayout"
)

// The values of StateLabel.
const (
	Pending = "pending"
	Success = "success"
	Failed  = "failed"
)

// The reasons of the condition. It is true for Reached and NotAsked.
const (
	ReasonReached  = "Reached"
	ReasonPending  = "Pending"
	ReasonFailed   = "Failed"
	ReasonNotAsked = "NotAsked"
)

// Writer writes to this Node; apiserver.Client does. Both make one attempt.
type Writer interface {
	// SetLabel writes a label; an empty value removes it.
	SetLabel(ctx context.Context, key, value string) error
	// SetCondition writes a condition; nothing is sent when the Node says the same already.
	SetCondition(ctx context.Context, kind string, status bool, reason, message string) error
}

// Config is what a Follower needs.
type Config struct {
	// Labels are the Node's, nil while they are not known.
	Labels    *gpu.Feed[map[string]string]
	Snapshots *gpu.Feed[*gpu.Snapshot]
	View      *gpu.Feed[*partitioner.View]
	Settings  *gpu.Feed[partitioner.Settings]
	Writer    Writer
	// StateDir keeps what was declared last, for a start without the API server; empty: nothing is kept.
	StateDir string
	// Poll is between two looks at the file, 5 s unless set.
	Poll time.Duration
	Log  *slog.Logger
}

// Status is what the Follower makes of the label. Immutable.
type Status struct {
	// Config is the label's value; State that of StateLabel, empty while nothing is asked or known.
	Config string `json:"config,omitempty"`
	State  string `json:"state,omitempty"`
	// Reason and Message are the condition's; Reason is empty while nothing is known.
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
}

// Follower follows the label. One goroutine decides, one writes.
type Follower struct {
	cfg      Config
	declared *gpu.Feed[*partitioner.Declaration]
	status   *gpu.Feed[Status]
	keeper   keeper

	// The rest belongs to the goroutine that decides.
	file    content
	answers answer
}

// content is a file as it was read last.
type content struct {
	path string
	read time.Time
	data []byte
	err  error
}

// answer is what a configuration makes of the GPUs, and what it was made from.
type answer struct {
	name, path string
	data       []byte
	gpus       []parted.GPU
	targets    map[gpu.UUID]parted.Target
	err        error
	made       bool
}

// New makes a Follower. What was declared before a restart is declared until the labels are known.
func New(cfg Config) *Follower {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Poll <= 0 {
		cfg.Poll = 5 * time.Second
	}
	f := &Follower{cfg: cfg, status: gpu.NewFeed(Status{}), keeper: keeper{dir: cfg.StateDir, log: cfg.Log}}
	var before *partitioner.Declaration
	if settings, _ := cfg.Settings.Get(); settings.Label {
		before = f.keeper.load()
	}
	f.declared = gpu.NewFeed(before)
	return f
}

// Declared is what the label declares, nil while it declares nothing. What it declared last stays while the API server is away,
// and while what it asks for now cannot be.
func (f *Follower) Declared() *gpu.Feed[*partitioner.Declaration] { return f.declared }

// Status is what becomes of it.
func (f *Follower) Status() *gpu.Feed[Status] { return f.status }

// Run follows until ctx ends.
func (f *Follower) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { f.follow(ctx); return nil })
	g.Go(func() error { f.write(ctx); return nil })
	return g.Wait()
}

// follow looks at everything whenever something changed: what it decides does not depend on what woke it.
func (f *Follower) follow(ctx context.Context) {
	tick := time.NewTicker(f.cfg.Poll)
	defer tick.Stop()
	for {
		settings, c1 := f.cfg.Settings.Get()
		labels, c2 := f.cfg.Labels.Get()
		snapshot, c3 := f.cfg.Snapshots.Get()
		view, c4 := f.cfg.View.Get()
		f.tell(f.look(settings, labels, snapshot, view))
		select {
		case <-ctx.Done():
			return
		case <-c1:
		case <-c2:
		case <-c3:
		case <-c4:
		case <-tick.C:
		}
	}
}

func (f *Follower) tell(s Status) {
	before, _ := f.status.Get()
	if s == before {
		return
	}
	if s.State != before.State || s.Config != before.Config {
		f.cfg.Log.Info("the label "+ConfigLabel, "config", s.Config, "state", s.State, "reason", s.Message)
	}
	f.status.Set(s)
}

// look declares what the label asks for and tells how far it came.
func (f *Follower) look(settings partitioner.Settings, labels map[string]string, s *gpu.Snapshot, v *partitioner.View) Status {
	if !settings.Label {
		f.declare(nil)
		return Status{}
	}
	if labels == nil {
		return Status{}
	}
	name := labels[ConfigLabel]
	if name == "" {
		f.declare(nil)
		return Status{Reason: ReasonNotAsked, Message: "the Node has no label " + ConfigLabel}
	}
	if s == nil || s.Version == 0 {
		return Status{name, Pending, ReasonPending, name + ": the GPUs were not looked at yet"}
	}
	targets, err := f.resolve(settings.PartedFile, name, s)
	if err != nil {
		return Status{name, Failed, ReasonFailed, f.refusal(name, err)}
	}
	d := &partitioner.Declaration{Source: "the label " + ConfigLabel + "=" + name, Targets: targets}
	f.declare(d)
	return judge(name, d, settings, s, v)
}

// refusal says why a configuration cannot be, and what goes on.
func (f *Follower) refusal(name string, err error) string {
	text := name + ": " + oneLine(err)
	if errors.Is(err, fs.ErrNotExist) {
		text += "; it is the file that partition.configFile of gpulet's configuration names"
	}
	if d, _ := f.declared.Get(); d != nil {
		text += "; until that is right, " + d.Source + " holds as it was"
	}
	return shorten(text)
}

func (f *Follower) declare(d *partitioner.Declaration) {
	before, _ := f.declared.Get()
	if before == nil && d == nil {
		f.keeper.keep(nil)
		return
	}
	if before != nil && d != nil && before.Source == d.Source && maps.EqualFunc(before.Targets, d.Targets, same) {
		return
	}
	f.keeper.keep(d)
	f.declared.Set(d)
}

func same(a, b parted.Target) bool { return a.String() == b.String() }

// resolve reads the file again if it is time to, and asks anew only when something is different.
func (f *Follower) resolve(path, name string, s *gpu.Snapshot) (map[gpu.UUID]parted.Target, error) {
	if now := time.Now(); f.file.path != path || now.Sub(f.file.read) >= f.cfg.Poll {
		f.file = content{path: path, read: now}
		if path != "" {
			f.file.data, f.file.err = read(path)
		}
	}
	if f.file.err != nil {
		return nil, f.file.err
	}
	gpus := gpusOf(s)
	a := &f.answers
	if a.made && a.name == name && a.path == path && bytes.Equal(a.data, f.file.data) && reflect.DeepEqual(a.gpus, gpus) {
		return a.targets, a.err
	}
	*a = answer{name: name, path: path, data: f.file.data, gpus: gpus, made: true}
	var users *parted.File
	if path != "" {
		if users, a.err = parted.Parse(path, f.file.data); a.err != nil {
			return nil, a.err
		}
	}
	a.targets, a.err = parted.Merge(users, parted.Named(gpus)).Resolve(name, gpus)
	return a.targets, a.err
}
