package sim

import (
	"context"

	"github.com/gpulet/gpulet/test/gpusim/daemon"
	"github.com/gpulet/gpulet/test/gpusim/model"
)

// Whole targets a GPU itself, In a GPU instance of it.
func Whole(gpu int) model.Target { return model.WholeGPU(gpu) }

// In targets a GPU instance.
func In(gpu int, gi uint32) model.Target {
	return model.Target{GPU: gpu, GI: gi, CI: model.NoInstance}
}

func (n *Node) act(ctx context.Context, c daemon.Command) error {
	_, err := n.Do(ctx, c)
	return err
}

// Status is the node in one picture.
func (n *Node) Status(ctx context.Context) (model.Status, error) {
	a, err := n.Do(ctx, daemon.Command{Do: "status"})
	if err != nil || a.Status == nil {
		return model.Status{}, err
	}
	return *a.Status, nil
}

// Calls counts NVML calls by C name.
func (n *Node) Calls(ctx context.Context) (map[string]uint64, error) {
	a, err := n.Do(ctx, daemon.Command{Do: "calls"})
	return a.Calls, err
}

// CreateInstance makes a GPU instance by profile name with a full compute instance, as an administrator does; start nil lets the
// driver choose. It gives the GPU instance's id and the MIG device's UUID.
func (n *Node) CreateInstance(ctx context.Context, gpu int, profile string, start *uint32) (id uint32, uuid string, err error) {
	a, err := n.Do(ctx, daemon.Command{Do: "mig-create", Target: Whole(gpu), Text: profile, Start: start})
	return a.Instance, a.UUID, err
}

// CreateBare makes a GPU instance as CreateInstance does, but without a compute instance: nobody can use it, and lists of MIG devices
// do not show it.
func (n *Node) CreateBare(ctx context.Context, gpu int, profile string, start *uint32) (id uint32, err error) {
	a, err := n.Do(ctx, daemon.Command{Do: "mig-create", Target: Whole(gpu), Text: profile, Start: start, On: true})
	return a.Instance, err
}

// DestroyInstance destroys a GPU instance with its compute instances.
func (n *Node) DestroyInstance(ctx context.Context, gpu int, id uint32) error {
	return n.act(ctx, daemon.Command{Do: "mig-destroy", Target: Whole(gpu), Instance: id})
}

// SetMIG switches MIG mode; an error also when it stays pending.
func (n *Node) SetMIG(ctx context.Context, gpu int, on bool) error {
	return n.act(ctx, daemon.Command{Do: "mig-mode", Target: Whole(gpu), On: on})
}

// SetLoad sets a load; the zero Load removes it.
func (n *Node) SetLoad(ctx context.Context, t model.Target, l model.Load) error {
	return n.act(ctx, daemon.Command{Do: "load", Target: t, Load: l})
}

// StartProcess puts a process on a GPU or instance; PID 0 draws one.
func (n *Node) StartProcess(ctx context.Context, t model.Target, p model.ProcessSpec) (pid int, err error) {
	a, err := n.Do(ctx, daemon.Command{Do: "process-start", Target: t, Process: p})
	return a.PID, err
}

// StopProcess ends a process on every GPU.
func (n *Node) StopProcess(ctx context.Context, pid int) error {
	return n.act(ctx, daemon.Command{Do: "process-stop", Number: uint64(pid)})
}

// XID raises an XID event of a GPU or instance.
func (n *Node) XID(ctx context.Context, t model.Target, xid uint64) error {
	return n.act(ctx, daemon.Command{Do: "xid", Target: t, Number: xid})
}

// ECC counts memory errors and raises the event.
func (n *Node) ECC(ctx context.Context, gpu int, f model.EccFault) error {
	return n.act(ctx, daemon.Command{Do: "ecc", Target: Whole(gpu), Ecc: f})
}

// SetLost makes a GPU fall off the bus, or puts it back.
func (n *Node) SetLost(ctx context.Context, gpu int, lost bool) error {
	return n.act(ctx, daemon.Command{Do: "lost", Target: Whole(gpu), On: lost})
}

// Hang makes every call to a GPU block; with init also nvmlInit and looking up handles.
func (n *Node) Hang(ctx context.Context, gpu int, init bool) error {
	return n.act(ctx, daemon.Command{Do: "hang", Target: Whole(gpu), On: init})
}

// Unhang lets the blocked calls go on.
func (n *Node) Unhang(ctx context.Context, gpu int) error {
	return n.act(ctx, daemon.Command{Do: "unhang", Target: Whole(gpu)})
}

// FailCalls makes calls fail.
func (n *Node) FailCalls(ctx context.Context, f model.ErrorFault) error {
	return n.act(ctx, daemon.Command{Do: "fail", Error: f})
}

// SlowCalls makes calls slow.
func (n *Node) SlowCalls(ctx context.Context, f model.LatencyFault) error {
	return n.act(ctx, daemon.Command{Do: "latency", Latency: f})
}

// SlowChanges sets how long changes of a GPU's division take, instead of what it was.
func (n *Node) SlowChanges(ctx context.Context, t model.ChangeTimes) error {
	return n.act(ctx, daemon.Command{Do: "slow-changes", Times: t})
}

// Hold makes one call stand still, before it takes effect or after: there an agent can be killed. AwaitHold waits until the call has
// come, Release lets it go on.
func (n *Node) Hold(ctx context.Context, f model.HoldFault) (hold int, err error) {
	a, err := n.Do(ctx, daemon.Command{Do: "hold", Hold: f})
	return a.Hold, err
}

// AwaitHold waits until the call stands still; through the control socket for a minute at most.
func (n *Node) AwaitHold(ctx context.Context, hold int) error {
	return n.act(ctx, daemon.Command{Do: "await-hold", Number: uint64(hold)})
}

// Release lets a held call go on, or takes back the hold that no call came to.
func (n *Node) Release(ctx context.Context, hold int) error {
	return n.act(ctx, daemon.Command{Do: "release", Number: uint64(hold)})
}

// SetRowRemap sets the remapped rows.
func (n *Node) SetRowRemap(ctx context.Context, gpu int, r model.RemappedRows) error {
	return n.act(ctx, daemon.Command{Do: "remap", Target: Whole(gpu), Rows: r})
}

// SetRecoveryAction sets nvmlDeviceGpuRecoveryAction_t.
func (n *Node) SetRecoveryAction(ctx context.Context, gpu int, action uint32) error {
	return n.act(ctx, daemon.Command{Do: "recovery", Target: Whole(gpu), Number: uint64(action)})
}

// Leak makes a GPU or instance held by an unknown client until DropLeaks.
func (n *Node) Leak(ctx context.Context, t model.Target) error {
	return n.act(ctx, daemon.Command{Do: "leak", Target: t})
}

// DropLeaks ends the leaks of a GPU; -1: of all.
func (n *Node) DropLeaks(ctx context.Context, gpu int) error {
	return n.act(ctx, daemon.Command{Do: "drop-leaks", Target: Whole(gpu)})
}

// ClearFaults ends every fault of a GPU; -1: of all.
func (n *Node) ClearFaults(ctx context.Context, gpu int) error {
	return n.act(ctx, daemon.Command{Do: "clear", Target: Whole(gpu)})
}

// SetNVLinkDown cuts a link or brings it back.
func (n *Node) SetNVLinkDown(ctx context.Context, gpu int, link uint32, down bool) error {
	return n.act(ctx, daemon.Command{Do: "nvlink", Target: Whole(gpu), Number: uint64(link), On: down})
}

// ResetGPU is nvidia-smi --gpu-reset.
func (n *Node) ResetGPU(ctx context.Context, gpu int) error {
	return n.act(ctx, daemon.Command{Do: "reset", Target: Whole(gpu)})
}

// Reboot starts the machine anew.
func (n *Node) Reboot(ctx context.Context) error {
	return n.act(ctx, daemon.Command{Do: "reboot"})
}

// UnloadDriver removes the kernel module.
func (n *Node) UnloadDriver(ctx context.Context, force bool) error {
	return n.act(ctx, daemon.Command{Do: "unload", On: force})
}

// LoadDriver loads the module, in another version unless empty.
func (n *Node) LoadDriver(ctx context.Context, version string) error {
	return n.act(ctx, daemon.Command{Do: "load-driver", Text: version})
}
