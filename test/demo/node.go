package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gpulet/gpulet/test/gpusim/sim"
)

// node is the machine that the scenario plays on: simulated hardware, a kubelet and the agent.
type node interface {
	// hardware is the hand at the machine.
	hardware() *sim.Node
	// run starts a pod that asks for n of a resource and returns when its container runs.
	run(ctx context.Context, name, resource string, n int64) (grant, error)
	// pod is the pod as it is now.
	pod(ctx context.Context, name string) (grant, error)
	// end deletes a pod and returns when it is gone.
	end(ctx context.Context, name string) error
	// healthy are the devices of a resource that the kubelet would give, taken ones included.
	healthy(ctx context.Context, resource string) ([]string, error)
	// configure replaces the agent's configuration file, which the agent notices by itself.
	configure(ctx context.Context, text string) error
	// crash kills the agent at once and returns when another has started.
	crash(ctx context.Context) error
	// gpulet runs a command of the agent's program beside the agent.
	gpulet(ctx context.Context, args ...string) (string, error)
	// farewell says how to look at what goes on after the scenario.
	farewell() string
	log(lines int) string
	close() error
}

// grant is what a container was given.
type grant struct {
	devices []string // the kubelet's ids
	cdi     []string // CDI names
	nodes   []string // the device nodes behind them, as the container sees them
	// container is the runtime's id: another one after a restart.
	container string
	uid       string // the pod's
}

func (g grant) String() string {
	return fmt.Sprintf("device %s\nCDI %s\nnodes %s", strings.Join(g.devices, ", "), strings.Join(g.cdi, ", "), strings.Join(g.nodes, " "))
}

// patience is how long the scenario waits for one thing.
const patience = time.Minute

// until asks again until cond holds.
func until(ctx context.Context, what string, cond func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var last error
	for {
		ok, err := cond(ctx)
		if ok {
			return nil
		}
		if errors.Is(err, errEnded) {
			return fmt.Errorf("waiting for %s: %w", what, err)
		}
		if err != nil {
			last = err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			if last != nil {
				return fmt.Errorf("waiting for %s: %w (%w)", what, context.Cause(ctx), last)
			}
			return fmt.Errorf("waiting for %s: %w", what, context.Cause(ctx))
		}
	}
}

// offered waits until the devices of a resource are as check wants them, and gives them.
func offered(ctx context.Context, n node, resource, what string, check func(ids []string) bool) (ids []string, err error) {
	err = until(ctx, what, func(ctx context.Context) (bool, error) {
		ids, err = n.healthy(ctx, resource)
		return err == nil && check(ids), err
	})
	if err != nil {
		err = fmt.Errorf("%w; %s has %d: %s", err, resource, len(ids), strings.Join(ids, " "))
	}
	return ids, err
}
