package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/mig"
	"github.com/gpulet/gpulet/kubelet"
)

// refuse makes a refusal.
func refuse(cause Cause, err error, format string, args ...any) *RefusalError {
	return &RefusalError{Cause: cause, Reason: fmt.Sprintf(format, args...), Err: err}
}

// causeOf sorts an error of the driver.
func causeOf(ctx context.Context, err error) Cause {
	is := func(targets ...error) bool {
		for _, t := range targets {
			if errors.Is(err, t) {
				return true
			}
		}
		return false
	}
	switch {
	case ctx.Err() != nil, is(context.Canceled):
		return CauseInterrupted
	case is(gpu.ErrDeadline, context.DeadlineExceeded, gpu.ErrTimeout):
		return CauseNoAnswer
	case is(gpu.ErrChanging):
		return CauseUnknown
	case is(gpu.ErrInUse):
		return CauseInUse
	case is(gpu.ErrNoRoom):
		return CauseNoRoom
	case is(gpu.ErrPermission):
		return CausePermission
	case is(gpu.ErrLost, gpu.ErrSessionLost, gpu.ErrNoDriver, gpu.ErrNotFound, gpu.ErrUnknownGPU):
		return CauseLost
	case is(gpu.ErrNotSupported, gpu.ErrMissing, gpu.ErrLibraryStale):
		return CauseUnsupported
	}
	return CauseFailed
}

// open reports whether it is not known what became of a call that ended so: the intent stays on file until somebody looked.
func open(c Cause) bool { return c == CauseInterrupted || c == CauseNoAnswer || c == CauseLost }

// failed is the refusal for a call that the driver refused.
func failed(ctx context.Context, err error, format string, args ...any) *RefusalError {
	r := refuse(causeOf(ctx, err), err, format, args...)
	r.Reason += ": " + err.Error()
	return r
}

// name is how people know a GPU.
func (e *Executor) name(uuid gpu.UUID) string {
	if s, _ := e.cfg.Snapshots.Get(); s != nil {
		if g := s.GPU(uuid); g != nil {
			return fmt.Sprintf("GPU %d", g.Index)
		}
	}
	return "GPU " + string(uuid)
}

// at is how people know a slot of a GPU: "GPU 0 3g.40gb@4".
func (e *Executor) at(uuid gpu.UUID, slot mig.Slot) string { return e.name(uuid) + " " + slot.String() }

// mostNamed is how many holders a sentence names.
const mostNamed = 4

// users names processes: "python (pid 4711) of pod team/train-0".
func (e *Executor) users(holders []gpu.Holder) string {
	if len(holders) == 0 {
		return "somebody who is not among its processes: a handle that a monitoring tool, say, did not give back"
	}
	var all []string
	for i, h := range holders {
		if i == mostNamed {
			all = append(all, fmt.Sprintf("%d more", len(holders)-i))
			break
		}
		all = append(all, e.user(h.PID))
	}
	return strings.Join(all, ", ")
}

func (e *Executor) user(pid int) string {
	name := e.cfg.Processes.Name(pid)
	if name == "" {
		name = "a process"
	}
	text := fmt.Sprintf("%s (pid %d)", name, pid)
	uid, container, ok := e.cfg.Processes.Container(pid)
	if !ok {
		return text
	}
	pods, _ := e.cfg.Pods.Get()
	if pods == nil {
		return text + " of pod " + string(uid)
	}
	p, known := pods.ByUID[uid]
	if !known {
		return text + " of pod " + string(uid)
	}
	text += " of pod " + p.Ref()
	if i := slices.IndexFunc(p.Containers, func(c kubelet.Container) bool { return container != "" && c.ID == container }); i >= 0 {
		text += " (container " + p.Containers[i].Name + ")"
	}
	return text
}

// claimant names who has a claim.
func claimant(c kubelet.Claim) string {
	if c.Name == "" {
		return "a pod that is not known yet"
	}
	return "pod " + c.Namespace + "/" + c.Name
}

// usersOf asks who is on a GPU instance, for a sentence; NoInstance means the whole GPU.
func (e *Executor) usersOf(ctx context.Context, uuid gpu.UUID, instance uint32) string {
	holders, err := e.holders(ctx, uuid)
	if err != nil {
		return "somebody; the processes cannot be told: " + err.Error()
	}
	return e.users(onInstance(holders, instance))
}

// onInstance are the processes that are, or may be, on a GPU instance. A process of which the driver does not say where it is may be.
func onInstance(holders []gpu.Holder, instance uint32) (out []gpu.Holder) {
	for _, h := range holders {
		if instance == gpu.NoInstance || h.GPUInstance == instance || h.GPUInstance == gpu.NoInstance {
			out = append(out, h)
		}
	}
	return out
}
