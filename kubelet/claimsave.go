package kubelet

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// saveAgain is the pause after the state file could not be written.
const saveAgain = 5 * time.Second

// saver writes the newest state in the background; states in between are skipped.
type saver struct {
	dir    string
	log    *slog.Logger
	newest *atomic.Pointer[claimState]
	dirty  chan struct{} // capacity 1: newest was not written yet
}

func newSaver(dir string, log *slog.Logger) saver {
	return saver{dir: dir, log: log, newest: &atomic.Pointer[claimState]{}, dirty: make(chan struct{}, 1)}
}

// put hands over a state. It does not wait. Calls are ordered by the caller.
func (s saver) put(bootID string, set *ClaimSet) {
	state := &claimState{BootID: bootID, Claims: []Claim{}}
	for _, claims := range set.ByID {
		state.Claims = append(state.Claims, claims...)
	}
	s.newest.Store(state)
	s.again()
}

func (s saver) again() {
	select {
	case s.dirty <- struct{}{}:
	default:
	}
}

// run writes until ctx ends, and then what is left.
func (s saver) run(ctx context.Context) {
	for {
		select {
		case <-s.dirty:
			if !s.write() {
				s.again()
				pause(ctx, saveAgain)
			}
		case <-ctx.Done():
			select {
			case <-s.dirty:
				s.write()
			default:
			}
			return
		}
	}
}

func (s saver) write() bool {
	err := saveClaims(s.dir, *s.newest.Load())
	if err != nil {
		s.log.Error("the claims cannot be kept", "reason", err.Error())
	}
	return err == nil
}
