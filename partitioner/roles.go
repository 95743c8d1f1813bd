package partitioner

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/partitioner/parted"
	"github.com/gpulet/gpulet/partitioner/plan"
)

// role is what is wanted of one GPU and by whom.
type role struct {
	role     plan.Role
	declared []plan.Count
	keep     bool   // it is offered as it is
	name     string // keep, whole, mig, auto or declared
	source   string
	trouble  string // why the word of the source is not followed
}

// resolved is what a named configuration makes of the GPUs.
type resolved struct {
	targets map[gpu.UUID]parted.Target
	err     error
	gpus    []gpu.UUID
	at      time.Time
}

// resolveEvery is how long the answer about a named configuration is believed: its file may change.
const resolveEvery = 30 * time.Second

// roles decides about each GPU: a command goes before the label, and that before the configuration.
func (p *Partitioner) roles(f *facts) map[gpu.UUID]role {
	out := make(map[gpu.UUID]role, len(f.snapshot.GPUs))
	for i := range f.snapshot.GPUs {
		g := &f.snapshot.GPUs[i]
		out[g.UUID] = p.roleOf(f, g)
	}
	return out
}

func (p *Partitioner) roleOf(f *facts, g *gpu.GPU) role {
	if c, ok := f.commands[g.UUID]; ok {
		return targetRole(c.target(), "gpulet partition set")
	}
	if f.declared != nil {
		if t, ok := f.declared.Targets[g.UUID]; ok {
			return targetRole(t, f.declared.Source)
		}
	}
	for i, rule := range f.settings.Rules {
		if !rule.Match.Matches(g) {
			continue
		}
		return p.ruleRole(f, g, rule, fmt.Sprintf("rule %d of the configuration", i+1))
	}
	return keepRole("no rule of the configuration is about it")
}

func keepRole(source string) role {
	return role{role: plan.Pinned, keep: true, name: string(Keep), source: source}
}

func targetRole(t parted.Target, source string) role {
	if !t.MIG {
		return role{role: plan.Whole, name: string(Whole), source: source}
	}
	return role{role: plan.Declared, declared: t.Counts, name: "declared", source: source}
}

func (p *Partitioner) ruleRole(f *facts, g *gpu.GPU, rule Rule, source string) role {
	switch {
	case rule.Named != "":
		t, err := p.namedTarget(f, g, rule.Named)
		if err != nil {
			r := keepRole(source)
			r.trouble = fmt.Sprintf("the configuration %q: %v", rule.Named, err)
			return r
		}
		return targetRole(t, fmt.Sprintf("%s: %s", source, rule.Named))
	case len(rule.Layout) > 0:
		return targetRole(parted.Target{MIG: true, Counts: rule.Layout}, source)
	}
	switch rule.Mode {
	case Keep:
	case Whole:
		return role{role: plan.Whole, name: string(Whole), source: source}
	case Auto:
		return role{role: plan.Auto, name: string(Auto), source: source}
	case MIG:
		if !g.MIG.Capable {
			r := keepRole(source)
			r.trouble = "this GPU cannot be divided"
			return r
		}
		return role{role: plan.Sliced, name: string(MIG), source: source}
	}
	return keepRole(source)
}

// namedTarget is what a named configuration makes of a GPU. It asks seldom: the configuration may be in a file.
func (p *Partitioner) namedTarget(f *facts, g *gpu.GPU, name string) (parted.Target, error) {
	if p.cfg.Named == nil {
		return parted.Target{}, errors.New("named configurations are not known here")
	}
	var gpus []gpu.UUID
	for i := range f.snapshot.GPUs {
		gpus = append(gpus, f.snapshot.GPUs[i].UUID)
	}
	key := f.settings.PartedFile + "\x00" + name
	r, known := p.named[key]
	if !known || f.now.Sub(r.at) >= resolveEvery || !slices.Equal(r.gpus, gpus) {
		r = resolved{gpus: gpus, at: f.now}
		r.targets, r.err = p.cfg.Named(f.snapshot, f.settings.PartedFile, name)
		p.named[key] = r
	}
	f.at(r.at.Add(resolveEvery))
	if r.err != nil {
		return parted.Target{}, r.err
	}
	t, ok := r.targets[g.UUID]
	if !ok {
		return t, errors.New("it says nothing about this GPU")
	}
	return t, nil
}
