package daemon

import (
	"context"
	"fmt"

	"github.com/gpulet/gpulet/test/gpusim/dcgm"
	"github.com/gpulet/gpulet/test/gpusim/model"
)

// Command is one action of the hand at the machine. Do says which; the members that it takes are in its comment below.
type Command struct {
	Do       string             `json:"do"`
	Target   model.Target       `json:"target"`
	Load     model.Load         `json:"load,omitzero"`
	Process  model.ProcessSpec  `json:"process,omitzero"`
	Number   uint64             `json:"number,omitempty"`
	Ecc      model.EccFault     `json:"ecc,omitzero"`
	Rows     model.RemappedRows `json:"rows,omitzero"`
	Error    model.ErrorFault   `json:"error,omitzero"`
	Latency  model.LatencyFault `json:"latency,omitzero"`
	Times    model.ChangeTimes  `json:"times,omitzero"`
	Hold     model.HoldFault    `json:"hold,omitzero"`
	On       bool               `json:"on,omitempty"`
	Text     string             `json:"text,omitempty"`
	Start    *uint32            `json:"start,omitempty"`
	Instance uint32             `json:"instance,omitempty"`
	Call     dcgm.Fault         `json:"dcgmCall,omitzero"`
	Field    dcgm.FieldFault    `json:"dcgmField,omitzero"`
}

// Answer is what an action gives.
type Answer struct {
	PID      int               `json:"pid,omitempty"`
	Instance uint32            `json:"instance,omitempty"`
	UUID     string            `json:"uuid,omitempty"`
	GPU      int               `json:"gpu,omitempty"`
	Hold     int               `json:"hold,omitempty"`
	Status   *model.Status     `json:"status,omitempty"`
	Calls    map[string]uint64 `json:"calls,omitempty"`
}

// Apply does an action.
func Apply(ctx context.Context, n *model.Node, engines *Engines, c Command) (a Answer, err error) {
	gpu := c.Target.GPU
	switch c.Do {
	case "status":
		s := n.Status()
		a.Status = &s
	case "calls":
		a.Calls = n.Calls()
	case "find": // Text: index, UUID or PCI address
		a.GPU, err = n.FindGPU(c.Text)
	case "load": // Target, Load
		err = n.SetLoad(c.Target, c.Load)
	case "process-start": // Target, Process
		a.PID, err = n.StartProcess(c.Target, c.Process)
	case "process-stop": // Number
		err = n.EndProcess(int(c.Number))
	case "xid": // Target, Number
		err = n.InjectXID(gpu, c.Number, c.Target.GI, c.Target.CI)
	case "ecc": // Target.GPU, Ecc
		err = n.InjectECC(gpu, c.Ecc)
	case "lost": // Target.GPU, On
		err = n.SetLost(gpu, c.On)
	case "hang": // Target.GPU; On: Init hangs too
		err = n.Hang(gpu, model.HangFault{Init: c.On})
	case "unhang": // Target.GPU
		err = n.Unhang(gpu)
	case "fail": // Error
		n.FailCalls(c.Error)
	case "latency": // Latency
		n.SlowCalls(c.Latency)
	case "slow-changes": // Times
		n.SlowChanges(c.Times)
	case "hold": // Hold
		a.Hold = n.HoldCall(c.Hold).ID
	case "await-hold": // Number: hold
		err = awaitHold(ctx, n, int(c.Number))
	case "release": // Number: hold
		err = releaseHold(n, int(c.Number))
	case "remap": // Target.GPU, Rows
		err = n.SetRowRemap(gpu, c.Rows)
	case "recovery": // Target.GPU, Number
		err = n.SetRecoveryAction(gpu, uint32(c.Number))
	case "leak": // Target
		err = n.LeakHandle(c.Target)
	case "drop-leaks": // Target.GPU; -1: all
		n.DropLeaks(gpu)
	case "clear": // Target.GPU; -1: all
		n.ClearFaults(gpu)
	case "nvlink": // Target.GPU, Number: link, On: down
		err = n.SetNvLinkDown(gpu, uint32(c.Number), c.On)
	case "reset": // Target.GPU
		if r := n.ResetGPU(gpu); r != model.Success {
			err = fmt.Errorf("reset GPU %d: %w", gpu, r)
		}
	case "reboot":
		n.Reboot()
	case "unload": // On: by force
		err = n.UnloadDriver(c.On)
	case "load-driver": // Text: version
		err = n.LoadDriver(c.Text)
	case "mig-mode": // Target.GPU, On
		err = setMode(ctx, n, gpu, c.On)
	case "mig-create": // Target.GPU, Text: profile, Start; On: without a compute instance
		a.Instance, a.UUID, err = createInstance(ctx, n, gpu, c.Text, c.Start, c.On)
	case "mig-destroy": // Target.GPU, Instance
		err = destroyInstance(ctx, n, gpu, c.Instance)
	case "collapse": // On
		n.CollapseXIDs(c.On)
	case "engine-start": // Text: version
		err = engines.Start(ctx, c.Text)
	case "engine-stop":
		engines.Stop()
	case "dcgm-call": // Call
		err = engines.Faults.Add(c.Call)
	case "dcgm-field": // Field
		err = engines.Faults.AddField(c.Field)
	case "dcgm-clear":
		engines.Faults.Clear()
	default:
		err = fmt.Errorf("there is no action %q", c.Do)
	}
	return a, err
}

// awaitHold waits until a call stands still.
func awaitHold(ctx context.Context, n *model.Node, id int) error {
	h, ok := n.HeldCall(id)
	if !ok {
		return fmt.Errorf("there is no hold %d", id)
	}
	select {
	case <-h.Reached():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("no call came to hold %d: %w", id, ctx.Err())
	}
}

func releaseHold(n *model.Node, id int) error {
	h, ok := n.HeldCall(id)
	if !ok {
		return fmt.Errorf("there is no hold %d", id)
	}
	h.Release()
	return nil
}
