package plan

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
)

// draw tells a plan in a few words: "0: 3g.40gb@4 4g.40gb@0 | 1: whole".
func drawn(p *Plan) string {
	var out []string
	for _, l := range p.GPUs {
		var parts []string
		for _, o := range p.Offers {
			if o.Device.GPU != l.GPU {
				continue
			}
			text := "whole"
			if o.Device.Kind == gpu.Slice {
				text = o.Device.Slot.String()
			}
			if o.Claimed {
				text += "!"
			}
			parts = append(parts, text)
		}
		out = append(out, fmt.Sprintf("%d: %s", l.Index, strings.Join(parts, " ")))
	}
	return strings.Join(out, " | ")
}

// simulated makes all offers of each GPU on simulated hardware, in several orders of arrival.
func (c *card) simulated(p *Plan) {
	c.t.Helper()
	r := rand.New(rand.NewPCG(7, 7))
	for _, l := range p.GPUs {
		slots := slices.Clone(l.Slots)
		for range 5 {
			if err := c.holds(slots); err != nil {
				c.t.Errorf("GPU %d: %v of %v", l.Index, err, slots)
			}
			r.Shuffle(len(slots), func(i, j int) { slots[i], slots[j] = slots[j], slots[i] })
		}
	}
}

// What each card is divided into for pods that arrive on two empty GPUs. The layouts are made on the simulated hardware as well.
func TestCards(t *testing.T) {
	many := func(n int, name string) (out []string) {
		for range n {
			out = append(out, name)
		}
		return out
	}
	for _, c := range []struct {
		card string
		pods []string
		want string
		wait int
	}{
		{"A30", []string{"1g.6gb", "2g.12gb"}, "0: 1g.6gb@1 2g.12gb@2 | 1: whole", 0},
		{"A30", append(many(5, "1g.6gb"), "4g.24gb"), "0: 1g.6gb@3 | 1: 1g.6gb@0 1g.6gb@1 1g.6gb@2 1g.6gb@3", 1},
		{"A30", []string{"1g.6gb+me", "1g.6gb+me", "1g.6gb+me"}, "0: 1g.6gb+me@3 | 1: 1g.6gb+me@3", 1},
		{"A30", []string{"2g.12gb+me", "1g.6gb+me", "2g.12gb"}, "0: 2g.12gb+me@0 2g.12gb@2 | 1: 1g.6gb+me@3", 0},
		{"A100-40", []string{"1g.5gb"}, "0: 1g.5gb@6 | 1: whole", 0},
		{"A100-40", []string{"3g.20gb"}, "0: 3g.20gb@4 | 1: whole", 0},
		{"A100-40", []string{"2g.10gb", "1g.5gb"}, "0: 2g.10gb@4 1g.5gb@6 | 1: whole", 0},
		{"A100-80", []string{"4g.40gb", "3g.40gb", "7g.80gb"}, "0: 7g.80gb@0 | 1: 4g.40gb@0 3g.40gb@4", 0},
		{"A100-80", many(9, "1g.20gb"), "", 1},
		{"A100-80", many(15, "1g.10gb"), "", 1},
		{"A100-80", many(7, "2g.20gb"), "", 1},
		{"H100", append(many(7, "1g.10gb"), "3g.40gb", "3g.40gb"), "0: 1g.10gb@1 1g.10gb@2 1g.10gb@3 3g.40gb@4 | 1: 1g.10gb@0 1g.10gb@1 1g.10gb@2 1g.10gb@3 3g.40gb@4", 0},
		{"H100", []string{"gpu", "7g.80gb"}, "0: whole | 1: 7g.80gb@0", 0},
		{"H100", []string{"7g.80gb", "1g.10gb", "gpu"}, "0: 7g.80gb@0 | 1: 1g.10gb@6", 1},
		{"H100", []string{"1g.10gb+me", "1g.10gb+me"}, "0: 1g.10gb+me@6 | 1: 1g.10gb+me@6", 0},
		{"H200", []string{"3g.71gb", "4g.71gb", "2g.35gb", "1g.35gb", "1g.35gb"}, "0: 4g.71gb@0 3g.71gb@4 | 1: 1g.35gb@2 2g.35gb@4 1g.35gb@6", 0},
		{"B200", []string{"3g.90gb", "3g.90gb", "7g.180gb"}, "0: 7g.180gb@0 | 1: 3g.90gb@0 3g.90gb@4", 0},
		{"B200", many(14, "1g.23gb"), "0: 1g.23gb@0 1g.23gb@1 1g.23gb@2 1g.23gb@3 1g.23gb@4 1g.23gb@5 1g.23gb@6 | 1: 1g.23gb@0 1g.23gb@1 1g.23gb@2 1g.23gb@3 1g.23gb@4 1g.23gb@5 1g.23gb@6", 0},
		{"RTX PRO 6000", []string{"1g.24gb+me.all", "1g.24gb-me", "1g.24gb-me", "1g.24gb-me", "1g.24gb"}, "0: 1g.24gb-me@0 1g.24gb-me@3 1g.24gb-me@6 1g.24gb+me.all@9 | 1: 1g.24gb@9", 0},
		{"RTX PRO 6000", []string{"2g.48gb+me.all", "2g.48gb+gfx", "2g.48gb+me.all", "1g.24gb+gfx"}, "0: 2g.48gb+me.all@6 | 1: 1g.24gb+gfx@3 2g.48gb+gfx@6", 1},
		{"RTX PRO 6000", []string{"4g.96gb+gfx", "2g.48gb+gfx", "1g.24gb+gfx", "1g.24gb+me"}, "0: 4g.96gb+gfx@0 | 1: 1g.24gb+me@0 1g.24gb+gfx@3 2g.48gb+gfx@6", 0},
	} {
		t.Run(c.card+" "+strings.Join(c.pods, ","), func(t *testing.T) {
			card := newCard(t, c.card)
			in := Input{GPUs: card.gpus(2), Demands: card.pods(c.pods...)}
			p := New().Plan(in)
			if got := drawn(&p); c.want != "" && got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if len(p.Unmet) != c.wait {
				t.Errorf("%d wait, want %d: %+v", len(p.Unmet), c.wait, p.Unmet)
			}
			check(t, &in, &p)
			card.simulated(&p)
		})
	}
}

// The example: an empty node of eight H100 takes all pods at once, on as few GPUs as can be.
func TestEmptyNode(t *testing.T) {
	c := newCard(t, "H100")
	var names []string
	for range 7 {
		names = append(names, "1g.10gb")
	}
	in := Input{GPUs: c.gpus(8), Demands: c.pods(append(names, "3g.40gb", "3g.40gb", "gpu")...)}
	p := New().Plan(in)
	if p.Cost.Modes != 2 || p.Cost.Creates != 9 || len(p.Unmet) != 0 || len(p.Grants) != 10 {
		t.Errorf("%+v, %d wait, %d served", p.Cost, len(p.Unmet), len(p.Grants))
	}
	c.simulated(&p)
}

// A pod that needs what an idle instance blocks gets it; busy ones stay.
func TestIdleGoesBusyStays(t *testing.T) {
	c := newCard(t, "H100")
	in := Input{GPUs: c.sliced(2), Demands: c.pods("3g.40gb")}
	in.GPUs[0].Claims = []Claim{{Slot: c.slot("1g.10gb@0"), Holder: "pod t/a"}, {Slot: c.slot("1g.10gb@6"), Holder: "pod t/b"}}
	in.GPUs[0].Instances = []Instance{{Slot: c.slot("1g.10gb@0")}, {Slot: c.slot("1g.10gb@6")}}
	in.GPUs[1].Claims = []Claim{{Slot: c.slot("3g.40gb@4"), Holder: "pod t/c"}}
	in.GPUs[1].Instances = []Instance{{Slot: c.slot("1g.10gb@3")}, {Slot: c.slot("3g.40gb@4")}}
	p := New().Plan(in)
	var steps []string
	for _, s := range p.Steps {
		steps = append(steps, fmt.Sprintf("%s %d %s: %s", s.Op, s.Index, s.Slot, s.Why))
	}
	want := []string{"destroy 1 1g.10gb@3: it makes room for demand", "create 1 3g.40gb@0: pod t/p0 waits for it"}
	if !slices.Equal(steps, want) {
		t.Errorf("got %q\nwant %q", steps, want)
	}
	check(t, &in, &p)
}

// What exists is used before anything is made, and made where it was on offer already.
func TestCheapFirst(t *testing.T) {
	c := newCard(t, "A100-80")
	in := Input{GPUs: c.sliced(2), Demands: c.pods("1g.10gb", "1g.10gb")}
	in.GPUs[1].Instances = []Instance{{Slot: c.slot("1g.10gb@1"), Expired: true}}
	in.GPUs[1].Offered = []mig.Slot{c.slot("1g.10gb@0")}
	p := New().Plan(in)
	if got, want := drawn(&p), "0:  | 1: 1g.10gb@0 1g.10gb@1"; got != want || p.Cost.Creates != 1 || p.Cost.Moves != 0 {
		t.Errorf("got %s at %+v, want %s", got, p.Cost, want)
	}
	in.Demands = nil
	if p := New().Plan(in); len(p.Steps) != 1 || p.Steps[0].Op != Destroy {
		t.Errorf("the expired instance stays: %+v", p.Steps)
	}
	in.GPUs[1].Cooling = true
	if p := New().Plan(in); len(p.Steps) != 0 {
		t.Errorf("a cooling GPU changes without demand: %+v", p.Steps)
	}
}

// Claims, instances in use and an administrator's instances stay where they are, whatever waits; what is missing of claims is made again.
func TestFixedPoints(t *testing.T) {
	c := newCard(t, "H100")
	in := Input{GPUs: c.gpus(3), Demands: c.pods("7g.80gb", "7g.80gb", "7g.80gb", "gpu")}
	for i := range in.GPUs {
		in.GPUs[i].Mode.On = i > 0
	}
	in.Demands[0].Priority = 100
	in.GPUs[0].Claims = []Claim{{Slot: c.slot("1g.10gb@6"), Holder: "pod t/a"}} // after a reboot
	in.GPUs[1].Instances = []Instance{{Slot: c.slot("1g.10gb@6"), Pinned: true}}
	in.GPUs[2].Instances = []Instance{{Slot: c.slot("1g.10gb@6"), Held: "process 4711 (python)"}}
	p := New().Plan(in)
	if got, want := drawn(&p), "0: 1g.10gb@6! | 1: 1g.10gb@6 | 2: "; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if len(p.Steps) != 2 || p.Steps[0].Op != ModeOn || p.Steps[1].Op != Create || p.Steps[1].Index != 0 {
		t.Errorf("%+v", p.Steps)
	}
	check(t, &in, &p)
}

// Ampere stays in its mode, and the reason says so.
func TestModeThatCannotChange(t *testing.T) {
	c := newCard(t, "A100-80")
	in := Input{GPUs: append(c.sliced(1), c.gpus(2)[1]), Demands: c.pods("gpu", "gpu", "7g.80gb", "1g.10gb")}
	in.GPUs[1].Mode = Mode{Why: "it changes only with a reset"}
	p := New().Plan(in)
	if got, want := drawn(&p), "0: 7g.80gb@0 | 1: whole"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	want := []string{
		"a whole GPU fits on no GPU here: GPU 0 slots 0-7 are promised to pod t/p2; GPU 1 is promised as a whole to pod t/p0",
		"1g.10gb fits on no GPU here: GPU 0 slots 0-7 are promised to pod t/p2; GPU 1 is promised as a whole to pod t/p0",
	}
	if len(p.Unmet) != 2 || p.Unmet[0].Reason != want[0] || p.Unmet[1].Reason != want[1] {
		t.Errorf("%+v", p.Unmet)
	}
	in.Demands = c.pods("3g.40gb", "3g.40gb", "3g.40gb", "gpu", "gpu")
	p = New().Plan(in)
	if u := p.Unmet[0]; u.Cause != CausePromised || !strings.Contains(u.Reason, "GPU 0 slots 0-3 are promised to pod t/p0, slots 4-7 are promised to pod t/p1; GPU 1 is promised as a whole to pod t/p3") {
		t.Errorf("%+v", u)
	}
	in.Demands = c.pods("3g.40gb", "3g.40gb", "3g.40gb")
	p = New().Plan(in)
	if u := p.Unmet[0]; !strings.Contains(u.Reason, "GPU 1 is not in MIG mode: it changes only with a reset") {
		t.Errorf("%+v", u)
	}
}

// Why a pod waits is said in a sentence for each GPU.
func TestReasons(t *testing.T) {
	c := newCard(t, "H100")
	in := Input{GPUs: c.gpus(6), Demands: c.pods("3g.40gb")}
	in.GPUs[0].Mode.On = true
	in.GPUs[0].Claims = []Claim{{Slot: c.slot("1g.10gb@1"), Holder: "pod a/b"}, {Slot: c.slot("2g.20gb@4"), Holder: "pod a/c"}}
	in.GPUs[1].Claims = []Claim{{Whole: true, Holder: "pod a/d"}}
	in.GPUs[2].Out = "it is unhealthy: XID 79"
	in.GPUs[3].Role = Whole
	in.GPUs[4].Role = Pinned
	in.GPUs[5].Mode = Mode{Why: "process 12 uses it"}
	p := New().Plan(in)
	want := "3g.40gb fits on no GPU here: GPU 0 slot 1 is held by pod a/b, slots 4-5 are held by pod a/c; GPU 1 is held as a whole by pod a/d; " +
		"GPU 2 takes nothing new: it is unhealthy: XID 79; GPU 3 is configured to stay whole; GPU 4 is configured to be left as it is; " +
		"GPU 5 is not in MIG mode: process 12 uses it"
	if len(p.Unmet) != 1 || p.Unmet[0].Reason != want || p.Unmet[0].Cause != CauseHeld {
		t.Errorf("%+v", p.Unmet)
	}
	in.Demands = []Demand{{ID: "x", Asks: []Ask{{Resource{c.profile("9g.99gb")}, 1}}}}
	p = New().Plan(in)
	if u := p.Unmet[0]; u.Cause != CauseUnknown || u.Reason != "9g.99gb fits on no GPU here: no GPU of this node has this profile" {
		t.Errorf("%+v", u)
	}
	in.Policy.Allowed = []mig.Profile{c.profile("3g.40gb")}
	in.Demands = c.pods("1g.10gb")
	p = New().Plan(in)
	if u := p.Unmet[0]; !strings.Contains(u.Reason, "GPU 0 may not be divided so: the profile is not allowed") {
		t.Errorf("%+v", u)
	}
	in = Input{GPUs: c.sliced(1), Demands: []Demand{{ID: "x", Asks: []Ask{{Resource{c.profile("3g.40gb")}, 3}}}}}
	p = New().Plan(in)
	if u := p.Unmet[0]; !strings.HasPrefix(u.Reason, "3 of 3g.40gb do not fit here together: GPU 0 ") {
		t.Errorf("%+v", u)
	}
	// Slots are free, media engines are not.
	in = Input{GPUs: c.sliced(1), Demands: c.pods("1g.10gb+me")}
	in.GPUs[0].Claims = []Claim{{Slot: c.slot("1g.10gb+me@6"), Holder: "pod a/b"}}
	p = New().Plan(in)
	if u := p.Unmet[0]; !strings.Contains(u.Reason, "slot 6 is held by pod a/b, and the compute slices, media engines or instances that are left are too few") {
		t.Errorf("%+v", u)
	}
}
