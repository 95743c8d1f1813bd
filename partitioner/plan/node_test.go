package plan

import (
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
)

// anyNode adds to what draw makes: other roles, GPUs that are out, spares, aged demand.
func anyNode(t *rapid.T, geometry mig.Geometry) Input {
	in := draw(t, geometry, rapid.IntRange(0, 5).Draw(t, "gpus"), 8)
	var profiles []mig.Profile
	for _, p := range geometry.Profiles {
		profiles = append(profiles, p.Profile)
	}
	counts := func(most int) (out []Count) {
		for range rapid.IntRange(0, 2).Draw(t, "counts") {
			out = append(out, Count{rapid.SampledFrom(profiles).Draw(t, "profile"), rapid.IntRange(0, most).Draw(t, "count")})
		}
		return out
	}
	for i := range in.GPUs {
		g := &in.GPUs[i]
		switch rapid.IntRange(0, 7).Draw(t, "special") {
		case 0:
			g.Role, g.Declared = Declared, counts(3)
		case 1:
			g.Role = Pinned
		case 2:
			g.Out = "of the test"
		}
	}
	for i := range in.Demands {
		in.Demands[i].Aged = rapid.IntRange(0, 2).Draw(t, "aged") == 0
	}
	in.Policy.Spares = counts(3)
	return in
}

// applied is the node after the steps of a plan.
func applied(in Input, p *Plan) Input {
	in.GPUs = slices.Clone(in.GPUs)
	for i := range in.GPUs {
		g := &in.GPUs[i]
		g.Instances, g.Offered = slices.Clone(g.Instances), nil
		for _, s := range p.Steps {
			if s.GPU != g.UUID {
				continue
			}
			switch s.Op {
			case Destroy:
				g.Instances = slices.DeleteFunc(g.Instances, func(x Instance) bool { return x.Slot == s.Slot })
			case Create:
				g.Instances = append(g.Instances, Instance{Slot: s.Slot})
			default:
				g.Mode.On = s.Op == ModeOn
			}
		}
		for _, o := range p.Offers {
			if o.Device.GPU == g.UUID && o.Device.Kind == gpu.Slice {
				g.Offered = append(g.Offered, o.Device.Slot)
			}
		}
	}
	return in
}

// Whatever a node looks like, the plan is sound and the same in any order of the input, and once it is done there is soon nothing more to do.
func TestAnyNode(t *testing.T) {
	geometries := map[string]mig.Geometry{}
	for name := range cards() {
		geometries[name] = newCard(t, name).geometry
	}
	planner := New()
	rapid.Check(t, func(t *rapid.T) {
		in := anyNode(t, geometries[rapid.SampledFrom([]string{"A30", "A100-40", "A100-80", "H100", "H200", "B200", "RTX PRO 6000"}).Draw(t, "card")])
		p := planner.Plan(in)
		check(t, &in, &p)
		if again := New().Plan(shuffled(in, rapid.Uint64().Draw(t, "seed"))); !reflect.DeepEqual(p, again) {
			t.Fatalf("another order of the input gives another plan:\n%+v\n%+v", p, again)
		}
		served := servedBits(&in, &p)
		for round := 0; len(p.Steps) > 0; round++ {
			if round == 3 { // where a reservation moves, it takes one more
				t.Fatalf("there is still %+v", p.Steps)
			}
			in = applied(in, &p)
			p = planner.Plan(in)
			if now := servedBits(&in, &p); now < served {
				t.Fatalf("served %s, then %s", served, now)
			}
		}
	})
}

// A search that is cut short still makes a sound plan, and says that it was cut.
func TestCutShort(t *testing.T) {
	geometry := newCard(t, "H100").geometry
	rapid.Check(t, func(t *rapid.T) {
		in := anyNode(t, geometry)
		p := New().plan(in, effort{widths: []int{1}, steps: 1})
		check(t, &in, &p)
		best := New().Plan(in)
		worse := servedBits(&in, &p) < servedBits(&in, &best) || compareCosts(p.Cost, best.Cost) > 0 && servedBits(&in, &p) == servedBits(&in, &best)
		if worse && p.Exact {
			t.Fatalf("%s at %+v is called exact, and there is %s at %+v", servedBits(&in, &p), p.Cost, servedBits(&in, &best), best.Cost)
		}
	})
}
