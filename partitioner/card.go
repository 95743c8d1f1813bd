package partitioner

import (
	"context"
	"fmt"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/partitioner/plan"
)

// card is what the loop remembers of one GPU.
type card struct {
	recovery recovery
	seen     time.Time
	why      string // why the recovery failed
	retry    time.Time

	work    *work // the step under way, until its effect is seen
	pauses  map[stepKey]*pause
	bar     *pause // while the mode is left alone after it could not be changed
	trouble string // why the last step was not done

	idle      map[gpu.UUID]time.Time // since when nobody has an instance
	published []gpu.Offer
	withheld  []gpu.Withheld
}

type recovery int

const (
	unknown recovery = iota
	recovering
	recovered
	failed
)

// recoveryPatience is how long the other GPUs of a node wait for one that does not recover.
const recoveryPatience = 60 * time.Second

// ready reports whether the GPU may be planned for: there is nothing to settle, or nobody may change anything at the moment.
func (c *card) ready() bool { return c.recovery == recovered || c.recovery == unknown }

func (c *card) unready() string {
	if c.recovery == failed {
		return "what an earlier process left there could not be settled: " + c.why
	}
	return "what an earlier process left there is being settled"
}

// stepKey tells steps of one GPU apart.
type stepKey struct {
	op   plan.Op
	slot mig.Slot
}

// pause is between two tries of a step.
type pause struct {
	why   string
	cause string
	until time.Time
	last  time.Duration
}

// grow sets the next try, later than the last one by a factor.
func (p *pause) grow(now time.Time, first, most time.Duration) {
	p.last = min(max(2*p.last, first), most)
	p.until = now.Add(p.last)
}

// work is a step under way.
type work struct {
	step  plan.Step
	input plan.GPU // the GPU as it was when the step began
	begun time.Time
	done  time.Time // zero until the executor said so
}

// settle is how long the effect of a step is waited for in the inventory.
const settle = 5 * time.Second

// recover has the executor settle each GPU that is seen for the first time. It says what the node waits for.
func (p *Partitioner) recover(ctx context.Context, f *facts) (waiting string) {
	for i := range f.snapshot.GPUs {
		g := &f.snapshot.GPUs[i]
		c := p.cards[g.UUID]
		if c == nil {
			c = &card{seen: f.now, pauses: map[stepKey]*pause{}, idle: map[gpu.UUID]time.Time{}}
			p.cards[g.UUID] = c
		}
		if f.settings.DryRun || !f.active() && !p.journaled() {
			if c.recovery == unknown {
				continue // it is done when something may be changed
			}
		} else if c.recovery == unknown || c.recovery == failed && !f.now.Before(c.retry) {
			c.recovery = recovering
			p.group.Go(func() error {
				p.report(ctx, outcome{uuid: g.UUID, recovery: true, err: p.cfg.Executor.Recover(ctx, g.UUID)})
				return nil
			})
		}
		switch {
		case c.recovery == failed:
			f.at(c.retry)
		case c.recovery == recovering && f.now.Before(c.seen.Add(recoveryPatience)):
			f.at(c.seen.Add(recoveryPatience))
			waiting = fmt.Sprintf("GPU %d: %s", g.Index, c.unready())
		}
	}
	return waiting
}

// outcome is what became of a step or a recovery.
type outcome struct {
	uuid     gpu.UUID
	recovery bool
	step     plan.Step
	err      error
}

func (p *Partitioner) report(ctx context.Context, o outcome) {
	select {
	case p.done <- o:
	case <-ctx.Done():
	}
}
