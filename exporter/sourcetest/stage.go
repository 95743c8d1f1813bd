package sourcetest

import (
	"strings"
	"testing"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/test/gpusim/model"
	"github.com/gpulet/gpulet/test/gpusim/sim"
)

// Stage is a node with GPU 0 at work, and GPU 1 divided into a busy and an idle instance.
type Stage struct {
	node       *sim.Node
	client     *model.Client
	status     model.Status
	busy, idle gpu.InstanceRef
}

// The loads in percent of the SMs.
const (
	wholeLevel = 60
	busyLevel  = 50
)

// mix is what each unit does of that. The parts differ so that a mix-up of two units shows.
func mix() model.Mix {
	return model.Mix{DRAM: 0.7, Tensor: 0.5, FP64: 0.1, FP32: 0.3, FP16: 0.2, PCIe: 0.05, NVLink: 0.1, Encoder: 0.25, Decoder: 0.4}
}

// Set makes the stage. Nothing may hold the GPUs yet: MIG mode is switched on.
func Set(t *testing.T, node *sim.Node) *Stage {
	t.Helper()
	ctx := t.Context()
	if node.Model == nil {
		t.Fatal("the node must run in this process: its model is the truth")
	}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("set the stage: %v", err)
		}
	}
	before, err := node.Status(ctx)
	do(err)
	if len(before.GPUs) < 2 {
		t.Fatal("the node has less than two GPUs")
	}
	profile := "3g.20gb"
	if strings.Contains(before.GPUs[1].Name, "80GB") {
		profile = "3g.40gb"
	}
	s := &Stage{node: node}
	do(node.SetMIG(ctx, 1, true))
	for i, ref := range []*gpu.InstanceRef{&s.busy, &s.idle} {
		start := uint32(4 * i)
		id, uuid, err := node.CreateInstance(ctx, 1, profile, &start)
		do(err)
		*ref = gpu.InstanceRef{ID: id, MIG: gpu.UUID(uuid)}
	}
	const gib = 1 << 30
	busy := sim.In(1, s.busy.ID)
	do(node.SetLoad(ctx, sim.Whole(0), model.Load{Kind: "constant", Level: wholeLevel, Mix: mix()}))
	do(node.SetLoad(ctx, busy, model.Load{Kind: "constant", Level: busyLevel, Mix: mix()}))
	_, err = node.StartProcess(ctx, sim.Whole(0), model.ProcessSpec{Name: "train", Memory: 8 * gib})
	do(err)
	_, err = node.StartProcess(ctx, busy, model.ProcessSpec{Name: "infer", Memory: 3 * gib})
	do(err)
	do(node.ECC(ctx, 0, model.EccFault{Location: model.EccDevice, Count: 3}))
	do(node.SetRowRemap(ctx, 0, model.RemappedRows{Correctable: 2, Uncorrectable: 1}))
	do(node.SetRecoveryAction(ctx, 0, uint32(gpu.RecoveryDrainAndReset)))
	s.status, err = node.Status(ctx)
	do(err)
	s.client = node.Model.Connect(model.Caller{PID: 1, Name: "the model's own reader"})
	t.Cleanup(s.client.Close)
	if ret := s.client.InitWithFlags(ctx, 0); ret != model.Success {
		t.Fatalf("set the stage: %v", ret)
	}
	return s
}

// Whole is the GPU that is not divided, Divided the other, Instances its busy and its idle instance.
func (s *Stage) Whole() gpu.UUID { return gpu.UUID(s.status.GPUs[0].UUID) }

// Divided is the GPU in MIG mode.
func (s *Stage) Divided() gpu.UUID { return gpu.UUID(s.status.GPUs[1].UUID) }

// Instances are those of Divided: the busy one and the idle one.
func (s *Stage) Instances() []gpu.InstanceRef { return []gpu.InstanceRef{s.busy, s.idle} }
