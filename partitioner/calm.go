package partitioner

import (
	"cmp"
	"maps"
	"math"
	"math/bits"
	"slices"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/partitioner/plan"
)

// expired keeps how long an instance has been idle, and reports whether that is long enough.
func (c *card) expired(f *facts, uuid gpu.UUID, used bool) bool {
	if uuid == "" {
		return false
	}
	if used {
		delete(c.idle, uuid)
		return false
	}
	since, known := c.idle[uuid]
	if !known {
		since = f.now
		c.idle[uuid] = since
	}
	end := since.Add(f.settings.IdleTTL)
	f.at(end)
	return !f.now.Before(end)
}

// forget drops instances that are gone.
func (c *card) forget(g *gpu.GPU) {
	maps.DeleteFunc(c.idle, func(uuid gpu.UUID, _ time.Time) bool {
		return !slices.ContainsFunc(g.Instances, func(in gpu.Instance) bool { return deviceOf(in) == uuid })
	})
}

// refresh starts the idle time of what is meant for a demand anew.
func (p *Partitioner) refresh(f *facts) {
	for _, o := range p.last.plan.Offers {
		if o.For == "" || !o.Exists || o.Device.Kind != gpu.Slice {
			continue
		}
		g, c := f.snapshot.GPU(o.Device.GPU), p.cards[o.Device.GPU]
		for _, in := range g.Instances {
			if uuid := deviceOf(in); uuid != "" && in.Slot == o.Device.Slot {
				if _, known := c.idle[uuid]; known {
					c.idle[uuid] = f.now
				}
			}
		}
	}
}

// cooling reports whether a GPU changed a moment ago.
func (c *card) cooling(f *facts, uuid gpu.UUID) bool {
	state := f.state.GPUs[uuid]
	cools := func(changed time.Time, d time.Duration) bool {
		if changed.IsZero() || d <= 0 {
			return false
		}
		f.at(changed.Add(d))
		return f.now.Before(changed.Add(d))
	}
	a, b := cools(state.Changed, f.settings.Cooldown), cools(state.ModeChanged, f.settings.ModeCooldown)
	return a || b
}

// asked counts what pods ask for, by profile; what was long ago counts less.
type asked struct {
	counts map[mig.Profile]float64
	at     time.Time // of the counts
	// The rest is what the counts made at the last look: it changes seldom, or plans would.
	looked  time.Time
	weights []plan.Count
	common  []mig.Profile
}

// halfLife is after how long an ask counts half; weigh is between two looks.
const (
	halfLife = time.Hour
	weigh    = 5 * time.Minute
)

func newAsked() *asked { return &asked{counts: map[mig.Profile]float64{}} }

// add counts what a new pod asks for.
func (a *asked) add(asks []plan.Ask, now time.Time) {
	a.decay(now)
	for _, x := range asks {
		if !x.Resource.Whole() {
			a.counts[x.Resource.Profile] += float64(x.Count)
		}
	}
}

func (a *asked) decay(now time.Time) {
	if !a.at.IsZero() {
		factor := math.Exp2(-now.Sub(a.at).Hours() / halfLife.Hours())
		for p := range a.counts {
			if a.counts[p] *= factor; a.counts[p] < 0.1 {
				delete(a.counts, p)
			}
		}
	}
	a.at = now
}

// look makes weights in steps of powers of two, and the order of the commonest.
func (a *asked) look(now time.Time) {
	if !a.looked.IsZero() && now.Sub(a.looked) < weigh {
		return
	}
	a.looked = now
	a.decay(now)
	a.weights, a.common = nil, nil
	for p, n := range a.counts {
		a.weights = append(a.weights, plan.Count{Profile: p, Count: min(1<<bits.Len(uint(n)), 1000)})
		if n >= 0.5 {
			a.common = append(a.common, p)
		}
	}
	slices.SortFunc(a.weights, func(x, y plan.Count) int { return cmp.Compare(x.Profile.String(), y.Profile.String()) })
	slices.SortFunc(a.common, func(x, y mig.Profile) int {
		return cmp.Or(cmp.Compare(a.counts[y], a.counts[x]), cmp.Compare(x.String(), y.String()))
	})
}

// policy is that of the settings with what was observed.
func (p *Partitioner) policy(f *facts) plan.Policy {
	out := f.settings.Policy
	p.asked.look(f.now)
	if len(p.asked.counts) > 0 {
		f.at(p.asked.looked.Add(weigh))
	}
	if out.Weights == nil {
		out.Weights = p.asked.weights
	}
	for _, profile := range p.asked.common[:min(f.settings.CommonSpares, len(p.asked.common))] {
		if !slices.ContainsFunc(out.Spares, func(c plan.Count) bool { return c.Profile == profile && c.Count > 0 }) {
			out.Spares = append(slices.Clip(out.Spares), plan.Count{Profile: profile, Count: 1})
		}
	}
	return out
}
