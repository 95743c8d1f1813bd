package gpu

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gpulet/gpulet/gpu/xid"
)

func policy() HealthPolicy {
	return HealthPolicy{CleanProbes: 3, Spacing: 4 * time.Second, Quarantine: 30 * time.Second}
}

// twoInstances is a layout with the GPU instances 1 and 2, each with the compute instance 0.
func twoInstances(first, second UUID) Layout {
	return Layout{MIG: MIGState{Capable: true, Enabled: true, Pending: true}, Instances: []Instance{
		{ID: 1, Compute: []ComputeInstance{{ID: 0, UUID: first}}},
		{ID: 2, Compute: []ComputeInstance{{ID: 0, UUID: second}}},
	}}
}

// play drives a machine second by second; a probe comes every five.
type play struct {
	m  *Machine
	at time.Time
	p  Probe
}

func newPlay() *play {
	return &play{m: NewMachine(policy(), nil), at: time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)}
}

func (p *play) probes(n int) {
	for range n {
		p.at = p.at.Add(5 * time.Second)
		p.p.At = p.at
		p.m.Observe(p.p)
		p.p.Restarted = false
	}
}

func (p *play) xid(x uint64) {
	p.m.Event(p.at, Event{Kind: EventXID, XID: x, GPUInstance: NoInstance, ComputeInstance: NoInstance})
}

func TestHealthStates(t *testing.T) {
	lost := fmt.Errorf("call: %w", ErrLost)
	for _, c := range []struct {
		name  string
		steps func(p *play, state func(want State, reason string))
	}{
		{"clean", func(p *play, state func(State, string)) {
			p.probes(3)
			state(Healthy, "")
		}},
		{"an application's fault changes nothing", func(p *play, state func(State, string)) {
			for _, x := range []uint64{13, 31, 43, 45, 68} {
				p.xid(x)
			}
			state(Healthy, "")
		}},
		{"a contained error is suspect until three clean probes", func(p *play, state func(State, string)) {
			p.xid(94)
			state(Suspect, "XID 94: contained memory error at 12:00:00 UTC")
			p.probes(2)
			state(Suspect, "")
			p.probes(1)
			state(Healthy, "")
		}},
		{"a link error is quarantined", func(p *play, state func(State, string)) {
			p.xid(74)
			state(Unhealthy, "XID 74: NVLink error")
			p.probes(5)
			state(Unhealthy, "")
			p.probes(1)
			state(Healthy, "")
		}},
		{"what is told late does not shorten a quarantine", func(p *play, state func(State, string)) {
			p.xid(74)
			p.m.Event(p.at.Add(-3*time.Second), Event{Kind: EventXID, XID: 74, GPUInstance: NoInstance, ComputeInstance: NoInstance})
			p.probes(5)
			p.at = p.at.Add(4 * time.Second)
			p.p.At = p.at
			p.m.Observe(p.p)
			state(Unhealthy, "XID 74")
			p.probes(1)
			state(Healthy, "")
		}},
		{"off the bus waits for a reset", func(p *play, state func(State, string)) {
			p.xid(79)
			p.probes(100)
			state(Unhealthy, "XID 79: GPU has fallen off the bus at 12:00:00 UTC; it returns after a reset or reboot")
			p.p.Restarted = true
			p.probes(1)
			state(Recovering, "recovering from: XID 79")
			p.probes(2)
			state(Healthy, "")
		}},
		{"lost and found is a reset", func(p *play, state func(State, string)) {
			p.xid(79)
			p.p.Err = lost
			p.probes(2)
			state(Unhealthy, "XID 79")
			p.p.Err = nil
			p.probes(1)
			state(Recovering, "recovering from")
			p.p.Err = lost
			p.probes(1)
			state(Unhealthy, "")
			p.p.Err = nil
			p.probes(2)
			state(Recovering, "")
			p.probes(1)
			state(Healthy, "")
		}},
		{"silent", func(p *play, state func(State, string)) {
			p.p.Err = &StuckError{Stuck{Call: "nvmlX", Since: p.at}}
			p.probes(1)
			state(Unhealthy, "no answer from the driver since 12:00:00 (nvmlX)")
			p.p.Err = nil
			p.probes(3)
			state(Healthy, "")
		}},
		{"one failed probe is suspect, three are unhealthy", func(p *play, state func(State, string)) {
			p.p.Err = errors.New("unknown error")
			p.probes(1)
			state(Suspect, "the driver does not read this GPU: unknown error")
			p.probes(2)
			state(Unhealthy, "")
			p.p.Err = nil
			p.probes(3)
			state(Healthy, "")
		}},
		{"a pending row remap drains", func(p *play, state func(State, string)) {
			p.p.Condition.RemapPending = true
			p.probes(100)
			state(Draining, "reset needed")
			p.p.Condition = Condition{}
			p.probes(3)
			state(Healthy, "")
		}},
		{"a failed row remap stays", func(p *play, state func(State, string)) {
			p.p.Condition = Condition{RemapPending: true, RemapFailed: true}
			p.probes(100)
			state(Unhealthy, "needs service")
		}},
		{"new uncorrectable errors are suspect, old ones are not", func(p *play, state func(State, string)) {
			p.p.Condition.Uncorrected = 7
			p.probes(1)
			state(Healthy, "")
			p.p.Condition.Uncorrected = 9
			p.probes(1)
			state(Suspect, "2 uncorrectable memory errors")
			p.probes(3)
			state(Healthy, "")
		}},
		{"counts that start anew tell of a reset", func(p *play, state func(State, string)) {
			p.p.Condition.Uncorrected = 7
			p.probes(1)
			p.xid(48)
			p.probes(10)
			state(Unhealthy, "XID 48")
			p.p.Condition.Uncorrected = 0
			p.probes(3)
			state(Healthy, "")
		}},
		{"the driver's own wish", func(p *play, state func(State, string)) {
			p.xid(95)
			p.p.Condition.Recovery = RecoveryReset
			p.probes(2)
			state(Unhealthy, "")
			p.p.Condition.Recovery = RecoveryNone
			p.probes(3)
			state(Healthy, "")
			p.p.Condition.Recovery = RecoveryDrainAndReset
			p.probes(1)
			state(Draining, "the driver asks for")
		}},
		{"fabric", func(p *play, state func(State, string)) {
			p.p.Condition.Fabric = FabricNotStarted
			p.probes(1)
			state(Unhealthy, "fabric manager")
			p.p.Condition.Fabric = FabricInProgress
			p.probes(1)
			state(Suspect, "registering")
			p.p.Condition.Fabric = FabricCompleted
			p.probes(1)
			state(Healthy, "")
			p.p.Layout.MIG.Enabled = true
			p.p.Condition.Fabric = FabricNotStarted
			p.probes(1)
			state(Healthy, "")
		}},
		{"probes that come in a bunch count once", func(p *play, state func(State, string)) {
			p.xid(94)
			p.p.At = p.at.Add(time.Second)
			for range 10 {
				p.m.Observe(p.p)
			}
			state(Suspect, "")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlay()
			step := 0
			c.steps(p, func(want State, reason string) {
				t.Helper()
				step++
				h := p.m.GPU()
				if h.State != want || !strings.Contains(h.Reason, reason) || (h.State == Healthy) != (h.Reason == "") {
					t.Errorf("step %d: %s %q, want %s with %q", step, h.State, h.Reason, want, reason)
				}
			})
		})
	}
}

func TestHealthOfInstances(t *testing.T) {
	p := newPlay()
	p.p.Layout = twoInstances("MIG-a", "MIG-b")
	p.probes(1)
	p.m.Event(p.at, Event{Kind: EventXID, XID: 95, GPUInstance: 1, ComputeInstance: 0})
	p.m.Event(p.at, Event{Kind: EventXID, XID: 94, GPUInstance: 2, ComputeInstance: NoInstance})
	p.probes(1)
	if s := p.m.GPU().State; s != Healthy {
		t.Errorf("the GPU is %s", s)
	}
	if a, b := p.m.Compute(1, 0).State, p.m.Compute(2, 0).State; a != Unhealthy || b != Healthy {
		t.Errorf("the compute instances are %s and %s", a, b)
	}
	if a, b := p.m.Instance(1).State, p.m.Instance(2).State; a != Healthy || b != Suspect {
		t.Errorf("the GPU instances are %s and %s", a, b)
	}
	// The same ids with another device are another device.
	p.p.Layout = twoInstances("MIG-c", "MIG-b")
	p.probes(1)
	if a := p.m.Compute(1, 0).State; a != Healthy {
		t.Errorf("the new compute instance is %s", a)
	}
	p.p.Layout = twoInstances("MIG-c", "MIG-b")
	p.p.Layout.Instances = p.p.Layout.Instances[:1]
	p.probes(1)
	if !p.m.Settled() {
		t.Errorf("%+v", p.m.Causes())
	}
}

// Not every driver fills the ids of a GPU that is not divided.
func TestXIDOfAWholeGPUWithIDs(t *testing.T) {
	p := newPlay()
	p.probes(1)
	p.m.Event(p.at, Event{Kind: EventXID, XID: 79})
	p.probes(10)
	if h := p.m.GPU(); h.State != Unhealthy {
		t.Errorf("%+v", h)
	}
}

func TestOverrides(t *testing.T) {
	p := newPlay()
	p.m.policy.XIDs = xid.New([]uint64{79}, []uint64{13})
	p.xid(79)
	if s := p.m.GPU().State; s != Healthy {
		t.Errorf("an ignored XID makes %s", s)
	}
	p.xid(13)
	if s := p.m.GPU().State; s != Unhealthy {
		t.Errorf("a fatal XID makes %s", s)
	}
}

// Whatever happens, a reset and enough clean probes make every GPU healthy.
func TestHealthAlwaysReturns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newPlay()
		for range rapid.IntRange(0, 40).Draw(t, "steps") {
			p.p.Err = nil
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0:
				p.xid(rapid.Uint64Range(0, 180).Draw(t, "xid"))
			case 1:
				p.p.Err = rapid.SampledFrom([]error{ErrLost, ErrDeadline, errors.New("x")}).Draw(t, "err")
			case 2:
				p.p.Condition.RemapPending = rapid.Bool().Draw(t, "remap")
			case 3:
				p.p.Condition.Uncorrected += rapid.Uint64Range(0, 2).Draw(t, "ecc")
			case 4:
				p.p.Condition.Recovery = Recovery(rapid.IntRange(0, 9).Draw(t, "recovery"))
			}
			p.probes(1)
			h := p.m.GPU()
			if (h.State == Healthy) != (h.Reason == "" && h.Since.IsZero()) {
				t.Fatalf("%+v", h)
			}
			if p.p.Err != nil && h.State == Healthy {
				t.Fatalf("healthy with %v", p.p.Err)
			}
		}
		p.p.Err, p.p.Condition, p.p.Restarted = nil, Condition{}, true
		p.probes(12)
		if !p.m.Settled() || p.m.GPU().State != Healthy {
			t.Fatalf("%+v", p.m.Causes())
		}
	})
}

func TestCausesReadBack(t *testing.T) {
	p := newPlay()
	p.xid(79)
	p.p.Condition.RemapPending = true
	p.probes(1)
	if n := len(p.m.Causes()); n != 1 {
		t.Fatalf("%d causes to keep, want that of the XID alone", n)
	}
	again := NewMachine(policy(), p.m.Causes())
	if a, b := again.GPU(), p.m.worst(NoInstance, NoInstance); a.State != Unhealthy || a.Reason != b.Reason || !a.Since.Equal(b.Since) {
		t.Errorf("%+v became %+v", b, a)
	}
}
