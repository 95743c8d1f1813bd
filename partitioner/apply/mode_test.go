package apply

import (
	"errors"
	"strings"
	"testing"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/kubelet"
	"github.com/gpulet/gpulet/partitioner/plan"
)

func TestMode(t *testing.T) {
	on, off := plan.Step{Op: plan.ModeOn, GPU: uuid0}, plan.Step{Op: plan.ModeOff, GPU: uuid0}
	whole := gpu.Device{Kind: gpu.Whole, GPU: uuid0}
	bubble(t, func(t *testing.T, m *machine) {
		m.layout.MIG = gpu.MIGState{Capable: true}
		e := m.start()
		m.claim(string(uuid0) + ":1g.10gb:0") // it waits for the mode
		do(t, e, on, on)
		if !m.layout.MIG.Enabled || !m.withdrawn[whole] || m.quiesced != 0 {
			t.Errorf("%+v", m.layout.MIG)
		}
		if s, _ := e.State().Get(); s.GPUs[uuid0].ModeChanged.IsZero() {
			t.Error("no time of the change")
		}
		if err := e.Do(t.Context(), off); causeIn(err) != CauseClaimed {
			t.Error(err)
		}
		m.claims.Set(&kubelet.ClaimSet{Complete: true})
		do(t, e, create("1g.10gb@0"))
		if err := e.Do(t.Context(), off); causeIn(err) != CauseInUse {
			t.Error(err)
		}
		do(t, e, destroy("1g.10gb@0"), off)
		if m.layout.MIG.Enabled || m.withdrawn[whole] {
			t.Errorf("%+v, %v", m.layout.MIG, m.withdrawn)
		}
	})
	for name, c := range map[string]struct { // case 16
		use   func(m *machine)
		reset bool
		cause Cause
		word  string
	}{
		"a claim":          {use: func(m *machine) { m.claim(string(uuid0)) }, cause: CauseClaimed, word: "team/train-0"},
		"an offer":         {use: func(m *machine) { m.listing.Set(&Listing{Pickable: map[gpu.Device]string{whole: "listed"}}) }, cause: CauseOffered},
		"a process":        {use: func(m *machine) { m.busy[gpu.NoInstance] = 4711 }, cause: CauseInUse, word: "python (pid 4711)"},
		"our own worker":   {use: func(m *machine) { m.refuse["quiesce"] = errors.New("busy") }, cause: CauseUnknown},
		"blocked":          {use: func(m *machine) { m.act, m.pending = gpu.BlockedByUse, true }, cause: CauseInUse},
		"a reset":          {use: func(m *machine) { m.act, m.pending = gpu.NeedsReset, true }, cause: CauseNeedsReset},
		"a reset that may": {use: func(m *machine) { m.act, m.pending = gpu.NeedsReset, true }, reset: true, cause: CauseNeedsReset, word: "pending"},
		"permission":       {use: func(m *machine) { m.refuse["set-mode"] = gpu.ErrPermission }, cause: CausePermission},
		"no MIG":           {use: func(m *machine) { m.layout.MIG.Capable = false }, cause: CauseUnsupported},
		"a full disk":      {use: func(m *machine) { m.journalOK = false }, cause: CauseJournal},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, m *machine) {
				m.layout.MIG = gpu.MIGState{Capable: true}
				c.use(m)
				e := m.start()
				s := on
				s.Reset = c.reset
				err := e.Do(t.Context(), s)
				if causeIn(err) != c.cause || !strings.Contains(err.Error(), c.word) {
					t.Fatalf("%q %v", causeIn(err), err)
				}
				if m.layout.MIG.Enabled || m.layout.MIG.Pending != c.reset || m.quiesced != 0 || m.withdrawn[whole] {
					t.Errorf("%+v %d %v", m.layout.MIG, m.quiesced, m.withdrawn)
				}
				if m.ops > 4 {
					t.Errorf("%d operations: it goes on trying", m.ops)
				}
			})
		})
	}
}
