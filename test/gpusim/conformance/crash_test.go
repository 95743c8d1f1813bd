package conformance

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/drivertest"
	"github.com/gpulet/gpulet/gpu/nvml"
	"github.com/gpulet/gpulet/test/gpusim/model"
	"github.com/gpulet/gpulet/test/gpusim/sim"
)

// TestChildSlice divides GPU 0: three changes.
func TestChildSlice(t *testing.T) {
	d := nvml.New(nvml.Options{Library: ofChild(t)})
	if err := d.Open(); err != nil {
		t.Fatal(err)
	}
	g, err := d.GPU(0)
	if err != nil {
		t.Fatal(err)
	}
	if a, err := g.SetMode(true); a != gpu.Activated || err != nil {
		t.Fatal(a, err)
	}
	geometry, _, err := g.Geometry()
	if err != nil {
		t.Fatal(err)
	}
	id, err := g.CreateInstance(geometry.Profiles[0], geometry.Profiles[0].Placements[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.CreateCompute(id); err != nil {
		t.Fatal(err)
	}
}

// A process can be killed exactly at a change, before or after it took effect: what was done stays, what it held is given back.
func TestKilledAtAChange(t *testing.T) {
	for k := 1; k <= 3; k++ {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("change %d, after %t", k, after), func(t *testing.T) {
				n := sim.New(t, sim.Options{Shape: "hgx-h100", Strict: true})
				hold, err := n.Hold(t.Context(), model.HoldFault{Call: "change", GPU: 0, At: k, AfterEffect: after})
				if err != nil {
					t.Fatal(err)
				}
				cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChildSlice$")
				cmd.Env = append(os.Environ(), libraryEnv+"="+n.Library())
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				if err := n.AwaitHold(t.Context(), hold); err != nil {
					t.Fatal(err)
				}
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
				done := k - 1
				if after {
					done = k
				}
				if got := changesDone(t, n); got != done {
					t.Errorf("%d changes are done, want %d", got, done)
				}
				for until := time.Now().Add(time.Minute); len(n.Model.Status().Clients) > 0; <-time.After(time.Millisecond) {
					if time.Now().After(until) {
						t.Fatal("the dead process is still a client")
					}
				}
				if done > 1 {
					if err := n.DestroyInstance(t.Context(), 0, n.Model.Status().GPUs[0].Instances[0].GI); err != nil {
						t.Error(err)
					}
				}
				if err := n.SetMIG(t.Context(), 0, false); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// changesDone counts the changes that TestChildSlice did to GPU 0.
func changesDone(t *testing.T, n *sim.Node) (count int) {
	t.Helper()
	g := n.Model.Status().GPUs[0]
	if g.MIG {
		count++
	}
	for _, in := range g.Instances {
		count += 1 + len(in.Compute)
	}
	return count
}

func TestChildChange(t *testing.T) {
	drivertest.Change(t, nvml.New(nvml.Options{Library: ofChild(t)}), 0)
}

// The product's driver divides every kind of GPU, slot by slot.
func TestChange(t *testing.T) {
	for _, shape := range []string{"a100-40x8", "a30x4", "dgx-a100", "hgx-h200", "hgx-b200", "gb200x4", "rtx6000x4"} {
		t.Run(shape, func(t *testing.T) {
			child(t, "TestChildChange", sim.New(t, sim.Options{Shape: shape, Strict: true}).Library())
		})
	}
}
