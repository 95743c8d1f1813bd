package partitioner

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/partitioner/apply"
	"github.com/gpulet/gpulet/partitioner/plan"
)

// start hands each GPU that has nothing under way its next step. The offers without what goes were published before.
func (p *Partitioner) start(ctx context.Context, f *facts) {
	for i := range f.snapshot.GPUs {
		g := &f.snapshot.GPUs[i]
		c := p.cards[g.UUID]
		if c.work != nil {
			if c.work.done.IsZero() {
				continue
			}
			if !effective(g, f.state.GPUs[g.UUID], c.work.step) && f.now.Before(c.work.done.Add(settle)) {
				f.at(c.work.done.Add(settle))
				continue
			}
			c.work = nil
			p.poke() // the input was that of before the step
			continue
		}
		if f.settings.DryRun || !c.ready() {
			continue
		}
		steps := p.stepsOf(g.UUID)
		for key := range c.pauses {
			if !slices.ContainsFunc(steps, func(s plan.Step) bool { return key == keyOf(s) }) {
				delete(c.pauses, key)
			}
		}
		if len(steps) == 0 {
			c.trouble = ""
		}
		if s, ok := pick(steps, g, c, f); ok {
			c.work = &work{step: s, input: p.inputOf(g.UUID), begun: f.now}
			p.group.Go(func() error {
				p.report(ctx, outcome{uuid: s.GPU, step: s, err: p.cfg.Executor.Do(ctx, s)})
				return nil
			})
		}
	}
}

func (p *Partitioner) stepsOf(uuid gpu.UUID) (out []plan.Step) {
	for _, s := range p.last.plan.Steps {
		if s.GPU == uuid {
			out = append(out, s)
		}
	}
	return out
}

func (p *Partitioner) inputOf(uuid gpu.UUID) plan.GPU {
	i := slices.IndexFunc(p.last.input.GPUs, func(g plan.GPU) bool { return g.UUID == uuid })
	return p.last.input.GPUs[i]
}

func keyOf(s plan.Step) stepKey { return stepKey{s.Op, s.Slot} }

// pick is the next step of a GPU: a creation need not wait for a destruction elsewhere on the GPU, and what a container waits for
// comes first. A mode is changed when everything before it is done.
func pick(steps []plan.Step, g *gpu.GPU, c *card, f *facts) (plan.Step, bool) {
	var ready []plan.Step
	for i, s := range steps {
		if s.Op == plan.Create && !roomFor(s.Slot, steps[:i], g) || (s.Op == plan.ModeOn || s.Op == plan.ModeOff) && i > 0 {
			continue
		}
		if w := c.pauses[keyOf(s)]; w != nil && f.now.Before(w.until) {
			f.at(w.until)
			continue
		}
		ready = append(ready, s)
	}
	if len(ready) == 0 {
		return plan.Step{}, false
	}
	return slices.MinFunc(ready, func(a, b plan.Step) int { return cmp.Compare(urgency(a, f), urgency(b, f)) }), true
}

// urgency orders the steps of one GPU; those alike stay in the order of the plan.
func urgency(s plan.Step, f *facts) int {
	claim := func(c claimed, start bool) bool {
		return c.device.GPU == s.GPU && c.device.Slot.Placement == s.Slot.Placement && c.start == start
	}
	switch {
	case s.Op == plan.Create && slices.ContainsFunc(f.claimed, func(c claimed) bool { return claim(c, true) }):
		return 0
	case s.Op == plan.Create && slices.ContainsFunc(f.claimed, func(c claimed) bool { return claim(c, false) }):
		return 1
	case s.Op == plan.Create && s.For != "":
		return 2
	case s.Op == plan.Create:
		return 4
	}
	return 3
}

// roomFor reports whether a slot can be made before the steps that come first.
func roomFor(slot mig.Slot, before []plan.Step, g *gpu.GPU) bool {
	if !g.MIG.Enabled || slices.ContainsFunc(before, func(s plan.Step) bool { return s.Op == plan.ModeOn || s.Op == plan.ModeOff }) {
		return false
	}
	return !slices.ContainsFunc(g.Instances, func(in gpu.Instance) bool { return in.Slot.Placement.Overlaps(slot.Placement) })
}

// effective reports whether the inventory, and the account of what gpulet made, show that a step was done.
func effective(g *gpu.GPU, state apply.GPUState, s plan.Step) bool {
	switch s.Op {
	case plan.ModeOn:
		return g.MIG.Enabled
	case plan.ModeOff:
		return !g.MIG.Enabled
	case plan.Destroy, plan.Create:
	}
	i := slices.IndexFunc(g.Instances, func(in gpu.Instance) bool { return in.Slot == s.Slot })
	if s.Op == plan.Destroy {
		return i < 0
	}
	if i < 0 {
		return false
	}
	_, ours := state.Owned[deviceOf(g.Instances[i])]
	return ours
}

// finish takes note of what became of a step or a recovery.
func (p *Partitioner) finish(o outcome, now time.Time) {
	c := p.cards[o.uuid]
	if o.recovery {
		c.recovery, c.why = recovered, ""
		if o.err != nil {
			c.recovery, c.why, c.retry = failed, o.err.Error(), now.Add(30*time.Second)
			p.cfg.Log.Error("a GPU is left alone", "gpu", o.uuid, "error", o.err)
		}
		return
	}
	if o.err == nil {
		c.work.done, c.trouble = now, ""
		delete(c.pauses, keyOf(o.step))
		if o.step.Op == plan.ModeOn || o.step.Op == plan.ModeOff {
			c.bar = nil
		}
		return
	}
	c.work = nil
	cause := apply.CauseFailed
	if r := (*apply.RefusalError)(nil); errors.As(o.err, &r) {
		cause = r.Cause
	}
	c.refuse(o.step, cause, o.err.Error(), now)
	p.cfg.Log.Info("a step is not done", "gpu", o.uuid, "step", o.step.Op.String(), "slot", o.step.Slot.String(), "cause", cause, "reason", o.err)
}

// refuse sets when a refused step is tried again: soon where somebody is about to let go, ever later for all else.
func (c *card) refuse(s plan.Step, cause apply.Cause, why string, now time.Time) {
	w := c.pauses[keyOf(s)]
	if w == nil || w.cause != string(cause) {
		w = &pause{cause: string(cause)}
		c.pauses[keyOf(s)] = w
	}
	w.why = why
	if c.trouble = why; passing(cause) {
		w.grow(now, 100*time.Millisecond, time.Second)
		return
	}
	w.grow(now, time.Second, time.Minute)
	if s.Op == plan.ModeOn || s.Op == plan.ModeOff { // a GPU that cannot change serves as what it is
		if c.bar == nil {
			c.bar = &pause{}
		}
		c.bar.why = why
		c.bar.grow(now, 30*time.Second, 10*time.Minute)
	}
}

// passing reports whether a refusal is part of the usual way: the kubelet is being told.
func passing(c apply.Cause) bool {
	return c == apply.CauseOffered || c == apply.CauseBound || c == apply.CauseClaimed || c == apply.CauseInterrupted
}
