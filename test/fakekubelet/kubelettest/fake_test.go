package kubelettest_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gpulet/gpulet/test/fakekubelet"
	"github.com/gpulet/gpulet/test/fakekubelet/kubelettest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFake(t *testing.T) {
	k := fakekubelet.New(t, fakekubelet.Options{StatusPeriod: 5 * time.Millisecond, RetryDelays: []time.Duration{20 * time.Millisecond}})
	kubelettest.Run(t, kubelettest.NewFake(t, k))
}
