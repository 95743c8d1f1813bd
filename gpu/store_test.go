package gpu

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func aState() state {
	return state{Version: stateVersion, BootID: "b", GPUs: []seenState{{
		Index: 1, Identity: Identity{UUID: someUUID, Minor: 1},
		Causes: []Cause{{Kind: "xid-79", GPUInstance: NoInstance, ComputeInstance: NoInstance, State: Unhealthy, Reason: "r", Since: time.Unix(1, 0).UTC(), Cure: CureReset}},
	}}}
}

func TestStateReadsBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if s, err := loadState(dir, "b"); err != nil || len(s.GPUs) != 0 {
		t.Errorf("a missing folder: %v %v", s, err)
	}
	if err := saveState(dir, aState()); err != nil {
		t.Fatal(err)
	}
	s, err := loadState(dir, "b")
	if err != nil || len(s.GPUs) != 1 || s.GPUs[0].Causes[0] != aState().GPUs[0].Causes[0] || s.GPUs[0].Identity != aState().GPUs[0].Identity {
		t.Errorf("%+v %v", s, err)
	}
	if s, err := loadState(dir, "another boot"); err != nil || len(s.GPUs) != 0 {
		t.Errorf("after a reboot: %v %v", s, err)
	}
	if files, _ := os.ReadDir(dir); len(files) != 1 {
		t.Errorf("%v is left", files)
	}
	if err := os.WriteFile(filepath.Join(dir, stateFile), []byte(`{"version":1,"bootID":"b","gpus":[{"ind`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadState(dir, "b"); err == nil {
		t.Error("a torn file was read")
	}
	if err := saveState("", aState()); err != nil {
		t.Error(err)
	}
}

func FuzzState(f *testing.F) {
	for _, s := range []string{"", "{}", `{"version":1,"bootID":"b","gpus":[{"index":0,"identity":{"UUID":"GPU-a"},"causes":[{"kind":"lost","state":3,"cure":"reset"}]}]}`, `{"version":1,"gpus":[{}]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parseState(data, "b")
		if err != nil && len(s.GPUs) > 0 {
			t.Errorf("%v and %v", s, err)
		}
		for _, g := range s.GPUs {
			m := NewMachine(policy(), g.Causes)
			if h := m.GPU(); h.State < Healthy || h.State > Recovering {
				t.Errorf("%+v", h)
			}
		}
	})
}

func FuzzParseNUMA(f *testing.F) {
	for _, s := range []string{"0\n", "-1\n", "7", "", "x", "99999"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if n, err := parseNUMA(data); n < -1 || n > 4095 || err != nil && n != -1 {
			t.Errorf("%d %v", n, err)
		}
	})
}

func TestFeed(t *testing.T) {
	f := NewFeed(1)
	v, changed := f.Get()
	select {
	case <-changed:
		t.Error("changed without a Set")
	default:
	}
	f.Set(2)
	f.Set(3)
	<-changed
	if w, _ := f.Get(); v != 1 || w != 3 {
		t.Errorf("%d then %d", v, w)
	}
}

func TestWorse(t *testing.T) {
	order := []State{Healthy, Recovering, Suspect, Draining, Unhealthy}
	for i, a := range order {
		for j, b := range order {
			if got := Worse(Health{State: a, Reason: "a"}, Health{State: b, Reason: "b"}); got.State != order[max(i, j)] || i == j && got.Reason != "a" {
				t.Errorf("the worse of %s and %s is %+v", a, b, got)
			}
		}
		if a.String() == "" || (Health{State: a}).Allocatable() != (a == Healthy) {
			t.Errorf("%s", a)
		}
	}
}
