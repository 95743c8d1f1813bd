package gpufake_test

import (
	"testing"

	"github.com/gpulet/gpulet/gpu/drivertest"
	"github.com/gpulet/gpulet/gpu/gpufake"
)

func TestFakeIsADriver(t *testing.T) {
	a := gpufake.A100(0)
	a.Divide("3g.40gb@4", "1g.10gb+me@0")
	drivertest.Run(t, gpufake.New(a, gpufake.T4(1)))
}

func TestFakeChanges(t *testing.T) {
	drivertest.Change(t, gpufake.New(gpufake.T4(0), gpufake.A100(1)), 1)
}
