package dcgm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/gpulet/gpulet/gpu"
)

// reply is what came for a request.
type reply struct {
	answer answer
	err    error
}

// memoryPeriod is how often the worker's memory is looked at.
const memoryPeriod = 500 * time.Millisecond

// talk writes requests and reads their answers, one after another, until the pipes close or the requests end.
func (s *session) talk() {
	for r := range s.ask {
		var a answer
		err := writeFrame(s.p.in, r)
		if err == nil {
			err = readFrame(s.p.out, &a)
		}
		s.answers <- reply{a, err}
		if err != nil {
			return
		}
	}
}

// request asks and waits. Its errors end the session, but for an engineLostError.
func (s *session) request(ctx context.Context, r request, patience time.Duration) (answer, error) {
	s.seq++
	r.Version, r.Seq = protocolVersion, s.seq
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	look := time.NewTicker(memoryPeriod)
	defer look.Stop()
	select {
	case s.ask <- r:
	case <-s.p.done:
		return answer{}, s.ended()
	}
	changed := s.changed
	for {
		select {
		case got := <-s.answers:
			return s.judge(got, r.Seq)
		case <-s.p.done:
			return answer{}, s.ended()
		case <-deadline.C:
			s.p.kill()
			return answer{}, troublef(gpu.NoAnswer, "DCGM did not answer within %s to %s", patience, r.Do)
		case <-look.C:
			if err := s.weigh(); err != nil {
				return answer{}, err
			}
		case <-ctx.Done():
			return answer{}, ctx.Err()
		case <-changed:
			t, next := s.c.tasks.Get()
			changed = next
			// s.changed stays: follow deals with the rest afterwards. An engine elsewhere is asked to detach first.
			if !t.needed() || t.holds > 0 && s.c.cfg.Host == "" {
				s.p.kill()
				return answer{}, errTold
			}
		}
	}
}

// judge looks at what came.
func (s *session) judge(got reply, seq uint64) (answer, error) {
	a := got.answer
	switch {
	case got.err != nil && (errors.Is(got.err, io.EOF) || errors.Is(got.err, io.ErrUnexpectedEOF) || !errors.Is(got.err, errFrame)):
		// It closed the pipe: it is ending, and how tells more.
		t := time.NewTimer(time.Second)
		defer t.Stop()
		select {
		case <-s.p.done:
			return a, s.ended()
		case <-t.C:
			return a, s.garbage(got.err)
		}
	case got.err != nil:
		return a, s.garbage(got.err)
	case a.Version != protocolVersion:
		return a, s.garbage(fmt.Errorf("version %d instead of %d", a.Version, protocolVersion))
	case a.Seq != seq:
		return a, s.garbage(fmt.Errorf("answer %d to request %d", a.Seq, seq))
	}
	if err := s.weigh(); err != nil {
		return a, err
	}
	if a.Problem != nil {
		t := trouble{*knownAbsence(*a.Problem)}
		if a.Lost {
			return a, engineLostError{t}
		}
		return a, t
	}
	return a, nil
}

// weigh holds the worker to its memory.
func (s *session) weigh() error {
	used, err := s.p.memory()
	if err != nil {
		return nil //nolint:nilerr // it is ending, which is noticed by itself
	}
	if s.state.Memory = used; used > s.c.cfg.Memory {
		s.p.kill()
		const mib = 1 << 20
		return troublef(gpu.Failed, "DCGM's worker used %d MiB of memory, more than its %d MiB", used/mib, s.c.cfg.Memory/mib)
	}
	return nil
}

func (s *session) garbage(err error) error {
	s.p.kill()
	return troublef(gpu.Failed, "DCGM's worker wrote what is no answer: %v", err)
}

// ended explains the end of the worker.
func (s *session) ended() error { return trouble{s.p.exit().why(s.state.Version)} }
