package process

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"testing"

	"go.uber.org/goleak"
)

// binary is the agent's program of this run; TestMain builds it.
var binary string

// atOnce is how many tests run at the same time: they wait far more than they work.
const atOnce = "6"

func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f != nil && f.Value.String() == f.DefValue {
		_ = f.Value.Set(atOnce)
	}
	dir, err := os.MkdirTemp("", "gpulet-process")
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		binary, err = Build(ctx, dir, buildFlags()...)
		stop()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// buildFlags are none for the program as it is shipped; GPULET_RACE=1 has the race detector in it.
func buildFlags() []string {
	if os.Getenv("GPULET_RACE") == "" {
		return nil
	}
	return []string{"-race"}
}
