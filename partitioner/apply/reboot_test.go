package apply

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/kubelet"
)

// A disk that fills up between two steps of a creation.
func TestJournalFailsHalfway(t *testing.T) {
	bubble(t, func(t *testing.T, m *machine) {
		e := m.start()
		save := e.save
		n := 0
		e.save = func(dir string, uuid gpu.UUID, j journal) error {
			if n++; n == 2 {
				return errors.New("no space left on device")
			}
			return save(dir, uuid, j)
		}
		if err := e.Do(t.Context(), create("1g.10gb@0")); causeIn(err) != CauseJournal || len(m.exists()) > 0 {
			t.Errorf("%v; %v exist", err, m.exists())
		}
		do(t, e, create("1g.10gb@0"))
	})
}

// A newer driver may name a profile otherwise (case 15): what it is now is made at the same place.
func TestRebootWithANewName(t *testing.T) {
	bubble(t, func(t *testing.T, m *machine) {
		e := m.start()
		do(t, e, create("3g.40gb@4"))
		old := place("3g.40gb@4")
		old.Profile.MemoryGB = 39
		j := e.unit(uuid0).j.clone()
		j.Owned[0].Slot = old
		if err := saveJournal(m.dir, uuid0, j); err != nil {
			t.Fatal(err)
		}
		m.reboot()
		e = m.start()
		if err := e.Recover(t.Context(), uuid0); err != nil || !slices.Equal(m.owned(e), []string{"3g.40gb@4"}) {
			t.Errorf("%v; %v exist", err, m.exists())
		}
	})
}

// Case 5: after a reboot the layout is there again, at the same places, before the GPU counts as recovered.
func TestReboot(t *testing.T) {
	bubble(t, func(t *testing.T, m *machine) {
		e := m.start()
		do(t, e, create("3g.40gb@4"), create("1g.10gb@0"), create("1g.10gb@2"))
		m.reboot()
		m.listing.Set(nil) // nothing was listed yet, and claims come a little later
		m.claims.Set(&kubelet.ClaimSet{})
		go func() {
			time.Sleep(3 * time.Second)
			m.claims.Set(&kubelet.ClaimSet{Complete: true})
		}()
		e = m.start()
		if err := e.Recover(t.Context(), uuid0); err != nil {
			t.Fatal(err)
		}
		want := []string{"1g.10gb@0", "1g.10gb@2", "3g.40gb@4"}
		if got := m.owned(e); !slices.Equal(got, want) || !slices.Equal(m.exists(), want) {
			t.Errorf("%v exist, it owns %v", m.exists(), got)
		}
		before := m.ops
		if err := e.Recover(t.Context(), uuid0); err != nil || m.ops != before {
			t.Errorf("%v, %d more operations", err, m.ops-before)
		}
	})
}

// What cannot be restored is told, the rest is there, and the node goes on.
func TestRebootWithAnObstacle(t *testing.T) {
	bubble(t, func(t *testing.T, m *machine) {
		e := m.start()
		do(t, e, create("1g.10gb@0"), create("1g.10gb@2"))
		m.reboot()
		m.layout.MIG = gpu.MIGState{Capable: true, Enabled: true, Pending: true}
		m.foreign(place("2g.20gb@0"))
		e = m.start()
		err := e.Recover(t.Context(), uuid0)
		s, _ := e.State().Get()
		if g := s.GPUs[uuid0]; causeIn(err) != CauseForeign || !g.Recovered || g.Refused == nil || !slices.Equal(m.owned(e), []string{"1g.10gb@2"}) {
			t.Errorf("%v, %+v", err, g)
		}
		if err := e.Recover(t.Context(), uuid0); err != nil {
			t.Errorf("it goes on trying: %v", err)
		}
	})
}

func TestBrokenJournal(t *testing.T) {
	bubble(t, func(t *testing.T, m *machine) {
		e := m.start()
		do(t, e, create("1g.10gb@0"))
		file := filepath.Join(m.dir, journalDir, string(uuid0)+".json")
		if err := os.WriteFile(file, []byte(`{"version":1,"owned":[{"slo`), 0o644); err != nil {
			t.Fatal(err)
		}
		e = m.start()
		if err := e.Do(t.Context(), destroy("1g.10gb@0")); causeIn(err) != CauseForeign {
			t.Error(err)
		}
		if _, err := os.Stat(file + ".broken"); err != nil {
			t.Error(err)
		}
	})
}

func FuzzParseJournal(f *testing.F) {
	f.Add([]byte(`{"version":1,"bootID":"b","owned":[{"slot":{"Profile":{"Compute":1,"Slices":1,"MemoryGB":10},"Placement":{"Start":0,"Size":1}},"uuid":"MIG-1"}]}`))
	f.Add([]byte(`{"version":1,"intent":{"op":"destroy","slot":{"Profile":{"Slices":1},"Placement":{"Size":1}},"instance":3}}`))
	f.Add([]byte(`{"version":1,"intent":{"op":"mode","on":true},"restore":{"mig":true,"slots":null}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		j, err := parseJournal(data)
		if err != nil {
			return
		}
		if in := j.Intent; in != nil && in.Op == intendDestroy && in.Instance == nil {
			t.Errorf("%+v", in)
		}
		for _, o := range j.Owned {
			if o.UUID == "" || o.Slot == (mig.Slot{}) {
				t.Errorf("%+v", o)
			}
		}
	})
}
