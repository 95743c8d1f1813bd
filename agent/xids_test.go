package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gpulet/gpulet/exporter"
	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/gpufake"
)

// A GPU whose fatal error was hidden from the driver's events by a later one is not given away; one that the driver attributes
// to an instance, where the kernel log may not, costs that instance alone; what was logged before the agent's time costs nothing.
func TestXIDsOfTheKernelLog(t *testing.T) {
	m := newMachine(t)
	dev := t.TempDir()
	kmsg, err := os.Create(filepath.Join(dev, "kmsg"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = kmsg.Close() }()
	log := func(g *gpufake.GPU, where string, codes ...uint64) {
		t.Helper()
		for _, c := range codes {
			_, err := fmt.Fprintf(kmsg, "4,1,2,-;NVRM: Xid (PCI:%s%s): %d, pid=1, name=x\n", strings.TrimSuffix(string(g.ID.PCI), ".0"), where, c)
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	hidden, divided, old, last := gpufake.A100(0), gpufake.A100(1), gpufake.A100(2), gpufake.A100(3)
	divided.Divide("3g.40gb@0", "3g.40gb@4")
	log(old, "", 79)
	p := m.startWith("v1", map[string]string{"dev-root": dev}, hidden, divided, old, last)
	s := p.await("the log", func(s Status) bool {
		return ready(s) && hidden.Watched() == 1 && divided.Watched() == 1 &&
			slices.ContainsFunc(s.Metrics.Sources, func(s exporter.SourceStatus) bool { return s.Name == "kmsg" && s.State == "ok" })
	})
	m.allocatable("nvidia.com/gpu", 3)
	m.allocatable("nvidia.com/mig-3g.40gb", 2)

	log(hidden, "", 95, 45)
	hidden.XID(45)
	in := s.GPUs[1].Instances[0].ID
	instance := fmt.Sprintf(" GPU-I:%02d", in)
	log(divided, "", 119)
	log(divided, instance, 95, 95)
	for _, code := range []uint64{119, 95} {
		divided.Send(gpu.Event{Kind: gpu.EventXID, XID: code, GPUInstance: in, ComputeInstance: 0})
	}
	log(last, "", 79) // it is told when all that was logged before it has been
	s = p.await("the last error", func(s Status) bool { return strings.Contains(s.GPUs[3].Health.Reason, "XID 79") })
	if h := s.GPUs[0].Health; h.State != "Unhealthy" || !strings.Contains(h.Reason, "XID 95") {
		t.Errorf("the GPU with the hidden error is %+v", h)
	}
	if h := s.GPUs[1].Health; h.State != "Healthy" {
		t.Errorf("the GPU of the instance is %+v", h)
	}
	if h := s.GPUs[2].Health; h.State != "Healthy" {
		t.Errorf("the GPU of the old line is %+v", h)
	}
	m.allocatable("nvidia.com/gpu", 1)
	m.allocatable("nvidia.com/mig-3g.40gb", 1)
}
