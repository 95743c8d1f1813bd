package dcgm

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Fault makes calls of the library go wrong.
type Fault struct {
	// Call is the C function's name; "*" is every call. Connections of every version are dcgmConnect.
	Call string `json:"call"`
	// Kind is "hang" (until the faults are cleared), "slow", "leak", "abort", "segfault" or "fail".
	Kind  string        `json:"kind"`
	Delay time.Duration `json:"delay,omitempty"`
	// MiB is what the library takes and never gives back at each call.
	MiB uint64 `json:"mib,omitempty"`
	// Code is what a call that fails gives.
	Code Status `json:"code,omitempty"`
	// At is the first such call from now on, counted from 1 (0 means 1), Times how many from then on (0: for ever).
	At    int `json:"at,omitempty"`
	Times int `json:"times,omitempty"`
}

// FieldFault makes values go wrong.
type FieldFault struct {
	// Field is its number, 0 every one; GPU is DCGM's number, -1 every one.
	Field uint16 `json:"field"`
	GPU   int    `json:"gpu"`
	// Kind is "stale" (the value stays with its time), "blank" (status OK and Blank) or "status" (Status, no value).
	Kind   string `json:"kind"`
	Blank  Blank  `json:"blank,omitempty"`
	Status Status `json:"status,omitempty"`
}

// Directive is what the library does to its own process.
type Directive struct {
	Kind uint32 // 1: abort, 2: segmentation fault, 3: leak
	MiB  uint64
}

// Faults are the injected ones, of all engines of a node. The zero value has none.
type Faults struct {
	mu     sync.Mutex // guards the rest
	calls  []*faultState
	fields []FieldFault
	clear  chan struct{} // closed when the faults are cleared
}

type faultState struct {
	Fault
	seen, done int
}

// Add makes calls go wrong from now on.
func (f *Faults) Add(x Fault) error {
	if !slices.Contains([]string{"hang", "slow", "leak", "abort", "segfault", "fail"}, x.Kind) {
		return fmt.Errorf("calls do not go wrong by %q", x.Kind)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	x.At = max(x.At, 1)
	f.calls = append(f.calls, &faultState{Fault: x})
	return nil
}

// AddField makes values go wrong from now on.
func (f *Faults) AddField(x FieldFault) error {
	if !slices.Contains([]string{"stale", "blank", "status"}, x.Kind) || x.Blank < BlankUnknown || x.Blank > BlankNoPermission {
		return fmt.Errorf("values do not go wrong by %q with blank %d", x.Kind, x.Blank)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fields = append(f.fields, x)
	return nil
}

// Clear ends all faults; calls that hang go on.
func (f *Faults) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls, f.fields = nil, nil
	if f.clear != nil {
		close(f.clear)
		f.clear = nil
	}
}

// Suffer lets a call run into what there is for it; ok false: it fails with that code.
func (f *Faults) Suffer(ctx context.Context, call string) (d Directive, code Status, ok bool) {
	var delay time.Duration
	var hang chan struct{}
	ok = true
	f.mu.Lock()
	for _, x := range f.calls {
		if x.Call != "*" && x.Call != call {
			continue
		}
		x.seen++
		if x.seen < x.At || x.Times > 0 && x.done >= x.Times {
			continue
		}
		x.done++
		switch x.Kind {
		case "hang":
			if f.clear == nil {
				f.clear = make(chan struct{})
			}
			hang = f.clear
		case "slow":
			delay += x.Delay
		case "abort":
			d.Kind = 1
		case "segfault":
			d.Kind = 2
		case "leak":
			d = Directive{Kind: 3, MiB: x.MiB}
		case "fail":
			ok, code = false, x.Code
		}
	}
	f.mu.Unlock()
	if hang != nil {
		select {
		case <-hang:
		case <-ctx.Done():
		}
	}
	if delay > 0 {
		t := time.NewTimer(delay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
		}
	}
	return d, code, ok
}

func (f *Faults) field(kind string, id uint16, gpu int) (FieldFault, bool) {
	if f == nil {
		return FieldFault{}, false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, x := range f.fields {
		if x.Kind == kind && (x.Field == 0 || x.Field == id) && (x.GPU < 0 || x.GPU == gpu) {
			return x, true
		}
	}
	return FieldFault{}, false
}

func (f *Faults) stale(id uint16, gpu int) bool {
	_, ok := f.field("stale", id, gpu)
	return ok
}

// spoil is a value as the faults have it.
func (f *Faults) spoil(v Value, id uint16, gpu int) Value {
	if x, ok := f.field("blank", id, gpu); ok && v.Status == OK {
		b := blank(v.Type, x.Blank)
		b.TS = v.TS
		v = b
	}
	if x, ok := f.field("status", id, gpu); ok {
		b := blank(v.Type, BlankUnknown)
		b.TS, b.Status = v.TS, x.Status
		v = b
	}
	return v
}
