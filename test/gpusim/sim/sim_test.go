package sim_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/gpulet/gpulet/test/gpusim/sim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The folder holds what the product is started with, and actions work in this process and through the socket.
func TestStart(t *testing.T) {
	n := sim.New(t, sim.Options{Shape: "dgx-a100"})
	other, err := sim.Attach(t.Context(), n.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Stop() }()
	t.Log(n.Flags())
}
