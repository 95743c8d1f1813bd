package agent

import (
	"context"
	"errors"
	"testing"
	"time"
)

// One has the lock; the next waits, and the first sees that and hears when the next has listed.
func TestLock(t *testing.T) {
	dir := t.TempDir()
	first, err := Acquire(t.Context(), dir, "v1", func(Owner) { t.Error("nobody else has it") })
	if err != nil {
		t.Fatal(err)
	}
	if o, held, err := LockOwner(dir); err != nil || !held || o.Version != "v1" {
		t.Errorf("the owner is %+v, %v, %v", o, held, err)
	}
	if first.Wanted() {
		t.Error("wanted by nobody")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := Acquire(ctx, dir, "v2", func(Owner) {}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a second got it: %v", err)
	}
	waits, second := make(chan Owner, 1), make(chan *Lock, 1)
	go func() {
		l, err := Acquire(t.Context(), dir, "v2", func(o Owner) { waits <- o })
		if err != nil {
			t.Error(err)
		}
		second <- l
	}()
	if o := <-waits; o.Version != "v1" {
		t.Errorf("it waits for %+v", o)
	}
	for deadline := time.Now().Add(5 * time.Second); !first.Wanted(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it is not seen that another waits")
		}
	}
	if err := first.Release(); err != nil {
		t.Fatal(err)
	}
	l := <-second
	soon, cancelSoon := context.WithTimeout(t.Context(), 4*lockPoll)
	defer cancelSoon()
	if first.Succeeded(soon) == nil {
		t.Error("succeeded before the lists were there")
	}
	if err := l.Listed(); err != nil {
		t.Fatal(err)
	}
	if err := first.Succeeded(t.Context()); err != nil {
		t.Error(err)
	}
	if err := l.Release(); err != nil {
		t.Error(err)
	}
	if _, held, err := LockOwner(dir); held || err != nil {
		t.Errorf("held by nobody: %v, %v", held, err)
	}
}
