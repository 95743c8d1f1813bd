//go:build e2e

package e2e

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/gpulet/gpulet/test/gpusim/model"
	"github.com/gpulet/gpulet/test/gpusim/sim"
)

// fault is one thing that goes wrong with a GPU, and how it is put right.
type fault struct {
	name        string
	hurt, mend  func(t *testing.T, s *sim.Node, g int)
	harmless    bool   // an application's own mistake: nothing changes
	instance    bool   // concerns one GPU instance of the sliced GPU
	reason      string // what status must say
	passesAlone bool   // no mending needed
}

func faults() []fault {
	do := func(f func(t *testing.T, s *sim.Node, g int) error) func(*testing.T, *sim.Node, int) {
		return func(t *testing.T, s *sim.Node, g int) {
			t.Helper()
			if err := f(t, s, g); err != nil {
				t.Fatal(err)
			}
		}
	}
	xid := func(n uint64) func(*testing.T, *sim.Node, int) {
		return do(func(t *testing.T, s *sim.Node, g int) error { return s.XID(t.Context(), sim.Whole(g), n) })
	}
	reset := do(reload)
	return []fault{
		{
			name: "lost", reason: "XID 79", mend: reset, // the driver reports it so
			hurt: do(func(t *testing.T, s *sim.Node, g int) error { return s.SetLost(t.Context(), g, true) }),
		},
		{
			name: "hung", reason: "no answer from the driver",
			hurt: do(func(t *testing.T, s *sim.Node, g int) error { return s.Hang(t.Context(), g, false) }),
			mend: do(func(t *testing.T, s *sim.Node, g int) error { return s.Unhang(t.Context(), g) }),
		},
		{name: "XID 79", reason: "XID 79", hurt: xid(79), mend: reset},
		{name: "XID 48", reason: "XID 48", hurt: xid(48), mend: reset},
		{name: "XID 94", reason: "XID 94", hurt: xid(94), passesAlone: true},
		{name: "XID 31", harmless: true, hurt: xid(31)},
		{name: "XID 13", harmless: true, hurt: xid(13)},
		{
			name: "pending row remap", reason: "replaced at the next reset", mend: reset,
			hurt: do(func(t *testing.T, s *sim.Node, g int) error {
				return s.SetRowRemap(t.Context(), g, model.RemappedRows{Uncorrectable: 1, Pending: true})
			}),
		},
		{
			name: "XID 94 of an instance", reason: "XID 94", instance: true, passesAlone: true,
			hurt: do(func(t *testing.T, s *sim.Node, g int) error {
				return s.XID(t.Context(), sim.In(g, s.Model.Status().GPUs[g].Instances[0].GI), 94)
			}),
		},
	}
}

// reload loads the driver anew, which resets the GPUs, and makes the same instances again: their mode outlasts it, they do not.
func reload(t *testing.T, s *sim.Node, g int) error {
	t.Helper()
	before := s.Model.Status().GPUs
	err := s.SetLost(t.Context(), g, false)
	if err == nil {
		err = s.LoadDriver(t.Context(), "")
	}
	for _, gpu := range before {
		for _, in := range gpu.Instances {
			if err == nil {
				_, _, err = s.CreateInstance(t.Context(), gpu.Index, in.Profile, &in.Placement.Start)
			}
		}
	}
	return err
}

// Faults of a GPU: only its devices change, those in use stay listed as Unhealthy, pods elsewhere are admitted meanwhile, the devices
// return after recovery, and status says why at each moment.
func TestFaults(t *testing.T) {
	s := mixed
	s.config = "health: {quarantine: 5s, interval: 2s, cleanProbes: 2}\n" + s.config
	m := machines(t, s)[0]
	m.offers(t, mixedOffers, 20*time.Second)
	const whole, slice = "nvidia.com/gpu", "nvidia.com/mig-1g.10gb"
	user := runs(t, gpuPod("user", m.Name(), whole, 1))
	victim, err := m.sim.Model.FindGPU(m.exactly(t, user)[0])
	if err != nil {
		t.Fatal(err)
	}
	h := m.held(t)
	shown := []string{}
	for i, f := range faults() {
		g, resource, loses := victim, whole, int64(1)
		if f.instance {
			g, resource = 5, slice
		}
		f.hurt(t, m.sim, g)
		if f.harmless {
			pause(t.Context(), 3*time.Second)
			m.right(t, mixedOffers, f.name)
			shown = append(shown, f.name+": ignored")
			continue
		}
		began := time.Now()
		reason := m.unhealthy(t, g, resource, f.reason, int(loses))
		noticed := time.Since(began)
		if !f.passesAlone { // what passes by itself may be over before the API server has it
			want := maps.Clone(mixedOffers)
			want[resource] -= loses
			m.offers(t, want, 20*time.Second)
		}
		elsewhere := runs(t, gpuPod(fmt.Sprintf("elsewhere-%d", i), m.Name(), slice, 1))
		m.exactly(t, elsewhere)
		if err := here.Delete(within(t, time.Minute), elsewhere); err != nil {
			t.Fatal(err)
		}
		m.same(t, h, f.name)
		if f.mend != nil {
			f.mend(t, m.sim, g)
		}
		m.offers(t, mixedOffers, time.Minute)
		m.healthy(t, resource)
		shown = append(shown, fmt.Sprintf("%s: said after %s %q, returned", f.name, noticed.Round(100*time.Millisecond), reason))
	}
	for _, line := range shown {
		t.Log(line)
	}
	clean(t, []*machine{m})
	odd(t)
	if !t.Failed() {
		proof("2.4", "%d kinds of faults, beside a GPU with unknown profiles: only the devices concerned, in use ones stayed listed, pods elsewhere were admitted, all returned: %s", len(shown), strings.Join(shown, "; "))
	}
}

// unhealthy waits until status lists n devices of a GPU under a resource as not healthy, with the words in the reason, and no others.
func (m *machine) unhealthy(t *testing.T, g int, resource, words string, n int) (reason string) {
	t.Helper()
	uuid := m.sim.Model.Status().GPUs[g].UUID
	for ctx := within(t, 30*time.Second); ; pause(ctx, 50*time.Millisecond) {
		bad := 0
		reason = ""
		for _, r := range m.status(t).Resources {
			for _, d := range r.Devices {
				switch {
				case d.Healthy:
				case r.Name == resource && string(d.GPU) == uuid:
					bad++
					reason = d.Reason
				default:
					t.Errorf("%s is not healthy: %s", d.ID, d.Reason)
				}
			}
		}
		if bad == n && strings.Contains(reason, words) {
			return reason
		}
		if ctx.Err() != nil {
			t.Fatalf("%d devices of GPU %d are listed as not healthy, the last because %q", bad, g, reason)
		}
	}
}

// healthy waits until status lists all devices of a resource as healthy.
func (m *machine) healthy(t *testing.T, resource string) {
	t.Helper()
	for ctx := within(t, 30*time.Second); ; pause(ctx, 100*time.Millisecond) {
		last := ""
		for _, r := range m.status(t).Resources {
			for _, d := range r.Devices {
				if r.Name == resource && !d.Healthy {
					last = d.Reason
				}
			}
		}
		if last == "" {
			return
		}
		if ctx.Err() != nil {
			t.Fatal(last)
		}
	}
}

// odd has a GPU that no table knows beside an A100: the one is explained, the other is served.
func odd(t *testing.T) {
	t.Helper()
	m := machines(t, spec{shape: "odd"})[0]
	m.offers(t, map[string]int64{"nvidia.com/gpu": 1}, 20*time.Second)
	pod := runs(t, gpuPod("beside", m.Name(), "nvidia.com/gpu", 1))
	m.exactly(t, pod)
	if len(m.status(t).Withheld) == 0 {
		t.Error("nothing is said of the GPU with unknown profiles")
	}
}
