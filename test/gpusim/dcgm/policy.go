package dcgm

import (
	"context"

	"github.com/gpulet/gpulet/test/gpusim/model"
)

const policyXID = 0x40

// policyRegister makes XIDs of a group be told; other conditions are accepted and never happen.
func policyRegister(s *Session, _ context.Context, in *reader, _ *writer) Status {
	id, conditions := in.u32(), in.u32()
	if _, ok := s.members(id); !ok {
		return NotConfigured
	}
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	s.policy[id] |= conditions
	return OK
}

func policyUnregister(s *Session, _ context.Context, in *reader, _ *writer) Status {
	id, conditions := in.u32(), in.u32()
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	if s.policy[id] &^= conditions; s.policy[id] == 0 {
		delete(s.policy, id)
	}
	return OK
}

// tell queues an XID for the session if it registered for any. The caller holds mu.
func (s *Session) tell(x model.XID) {
	for _, conditions := range s.policy {
		if conditions&policyXID == 0 {
			continue
		}
		s.pending = append(s.pending, x)
		select {
		case s.told <- struct{}{}:
		default:
		}
		return
	}
}

// policyWait blocks until an XID: GPU, code, time, then the groups that registered.
func policyWait(s *Session, ctx context.Context, _ *reader, out *writer) Status {
	for {
		s.e.mu.Lock()
		if len(s.pending) > 0 {
			x := s.pending[0]
			s.pending = s.pending[1:]
			s.e.mu.Unlock()
			gpu, err := s.e.cfg.Node.GPUIndex(x.GPU)
			if err != nil {
				continue
			}
			out.u32(uint32(gpu), uint32(x.Code))
			out.u64(uint64(x.At.UnixMicro()))
			var groups []uint32
			s.e.mu.Lock()
			for id, conditions := range s.policy {
				if conditions&policyXID != 0 {
					groups = append(groups, id)
				}
			}
			s.e.mu.Unlock()
			ours := &writer{}
			n := uint32(0)
			for _, id := range groups {
				members, _ := s.members(id)
				for _, m := range members {
					if m == (pair{GPU, uint32(gpu)}) {
						ours.u32(id)
						n++
						break
					}
				}
			}
			out.u32(n)
			out.b = append(out.b, ours.b...)
			return OK
		}
		s.e.mu.Unlock()
		select {
		case <-s.told:
		case <-ctx.Done():
			return GenericError
		}
	}
}
