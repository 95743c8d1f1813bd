package partitioner

import (
	"context"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/kubelet"
	"github.com/gpulet/gpulet/partitioner/apply"
	"github.com/gpulet/gpulet/partitioner/plan"
)

// Partitioner joins what is wanted with what is. One goroutine owns everything; what others read are feeds.
type Partitioner struct {
	cfg      Config
	planner  *plan.Planner
	offers   *gpu.Feed[*gpu.Offers]
	view     *gpu.Feed[*View]
	held     *gpu.Feed[strays]
	commands *commands
	starts   *starts
	metrics  *metrics
	nudge    chan struct{}
	done     chan outcome

	// The rest belongs to Run's goroutine.
	group   *errgroup.Group
	cards   map[gpu.UUID]*card
	wants   map[string]*want
	asked   *asked
	named   map[string]resolved
	opened  bool // something was offered
	last    planned
	told    map[string]map[string]bool // reasons that a pod was told
	refused map[gpu.UUID]string        // refused mode changes that the Node was told of
	begun   time.Time
}

// planned is the last plan and what it was made from.
type planned struct {
	input plan.Input
	plan  plan.Plan
	took  time.Duration
	made  bool
}

// New makes a Partitioner; nothing happens before Run.
func New(cfg Config) *Partitioner {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Pods == nil {
		cfg.Pods = gpu.NewFeed[*kubelet.Pods](nil)
	}
	if cfg.Resources == nil {
		cfg.Resources = gpu.NewFeed[map[string]mig.Profile](nil)
	}
	if cfg.Demands == nil {
		cfg.Demands = gpu.NewFeed[*Demands](nil)
	}
	if cfg.Declared == nil {
		cfg.Declared = gpu.NewFeed[*Declaration](nil)
	}
	return &Partitioner{
		cfg: cfg, planner: plan.New(), offers: gpu.NewFeed(&gpu.Offers{}), view: gpu.NewFeed(&View{Waiting: "it is starting"}),
		held: gpu.NewFeed(strays{}), commands: newCommands(cfg.StateDir), starts: newStarts(), metrics: newMetrics(),
		nudge: make(chan struct{}, 1), done: make(chan outcome), cards: map[gpu.UUID]*card{}, wants: map[string]*want{},
		asked: newAsked(), named: map[string]resolved{}, told: map[string]map[string]bool{}, refused: map[gpu.UUID]string{},
	}
}

// Offers are what the kubelet may be told of. Until the first are made they have no snapshot.
func (p *Partitioner) Offers() *gpu.Feed[*gpu.Offers] { return p.offers }

// View is how the node is divided and why.
func (p *Partitioner) View() *gpu.Feed[*View] { return p.view }

// Run works until ctx ends, and returns when no step is under way any more.
func (p *Partitioner) Run(ctx context.Context) error {
	if err := p.commands.load(); err != nil { // what was commanded is not known, and nothing else is lost by going on
		p.cfg.Log.Error("what was commanded is forgotten", "error", err)
	}
	p.begun = time.Now()
	g, ctx := errgroup.WithContext(ctx)
	p.group = g
	g.Go(func() error { p.loop(ctx); return nil })
	if p.cfg.Holders != nil {
		g.Go(func() error { p.look(ctx); return nil })
	}
	return g.Wait()
}

// loop looks at everything whenever something changed: nothing that it decides depends on what woke it.
func (p *Partitioner) loop(ctx context.Context) {
	for {
		f, changed := p.facts()
		p.pass(ctx, f)
		var timer <-chan time.Time
		if !f.next.IsZero() {
			timer = time.After(max(f.next.Sub(f.now), time.Millisecond))
		}
		select {
		case <-ctx.Done():
			return
		case o := <-p.done:
			p.finish(o, time.Now())
		case <-p.nudge:
		case <-timer:
		case <-changed[0]:
		case <-changed[1]:
		case <-changed[2]:
		case <-changed[3]:
		case <-changed[4]:
		case <-changed[5]:
		case <-changed[6]:
		case <-changed[7]:
		case <-changed[8]:
		case <-changed[9]:
		}
	}
}

// facts reads all feeds.
func (p *Partitioner) facts() (f *facts, changed [10]<-chan struct{}) {
	f = &facts{now: time.Now()}
	f.settings, changed[0] = p.cfg.Settings.Get()
	f.snapshot, changed[1] = p.cfg.Snapshots.Get()
	f.claims, changed[2] = p.cfg.Claims.Get()
	f.pods, changed[3] = p.cfg.Pods.Get()
	f.resources, changed[4] = p.cfg.Resources.Get()
	f.demands, changed[5] = p.cfg.Demands.Get()
	f.declared, changed[6] = p.cfg.Declared.Get()
	f.commands, changed[7] = p.commands.feed.Get()
	f.strays, changed[8] = p.held.Get()
	f.state, changed[9] = p.cfg.Executor.State().Get()
	if f.state == nil {
		f.state = &apply.State{}
	}
	f.starting = p.starts.list()
	return f, changed
}

// poke has the loop look again.
func (p *Partitioner) poke() {
	select {
	case p.nudge <- struct{}{}:
	default:
	}
}

// pass brings everything up to what is known now.
func (p *Partitioner) pass(ctx context.Context, f *facts) {
	if why := f.unready(); why != "" {
		p.show(&View{Waiting: why, DryRun: f.settings.DryRun})
		return
	}
	f.resolveClaims()
	if why := p.recover(ctx, f); why != "" && !p.opened {
		p.show(&View{Waiting: why, DryRun: f.settings.DryRun})
		return
	}
	p.opened = true
	f.roles = p.roles(f)
	in := p.input(f)
	p.replan(in)
	p.refresh(f)
	version := p.publish(p.offer(f))
	p.start(ctx, f)
	v := p.describe(f, version)
	p.show(v)
	offers, _ := p.offers.Get()
	p.metrics.show(v, offers.Offers)
	p.tell(v)
}

// replan makes a plan, unless the last was made from the same.
func (p *Partitioner) replan(in plan.Input) {
	if p.last.made && sameInput(in, p.last.input) {
		return
	}
	begun := time.Now()
	made := p.planner.Plan(in)
	p.last = planned{input: in, plan: made, took: time.Since(begun), made: true}
	p.metrics.plan.Observe(p.last.took.Seconds())
}
