package sim

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/gpulet/gpulet/test/gpusim/daemon"
	"github.com/gpulet/gpulet/test/gpusim/dcgm"
)

// DCGMLibrary is the folder of a make of libdcgm.so.4 for a program's LD_LIBRARY_PATH: "" is DCGM 4.6, see lib.DCGMVariants for the
// others. The path to the library itself is the folder's libdcgm.so.4.
func (n *Node) DCGMLibrary(ctx context.Context, variant string) (string, error) {
	if variant == "" {
		return filepath.Join(n.Dir, "lib"), nil
	}
	return daemon.InstallDCGM(ctx, n.Dir, variant)
}

// StartEngine starts nv-hostengine in that version ("4.6.1").
func (n *Node) StartEngine(ctx context.Context, version string) error {
	return n.act(ctx, daemon.Command{Do: "engine-start", Text: version})
}

// StopEngine ends it, and with it every connection and watch.
func (n *Node) StopEngine(ctx context.Context) error {
	return n.act(ctx, daemon.Command{Do: "engine-stop"})
}

// EngineSocket is where nv-hostengine listens while it runs.
func (n *Node) EngineSocket() string { return filepath.Join(n.Dir, daemon.EngineSocket) }

// EngineAddress is its TCP address, the same after each start unless another program took it.
func (n *Node) EngineAddress() (string, error) {
	data, err := os.ReadFile(filepath.Join(n.Dir, daemon.EnginePort))
	if err != nil {
		return "", fmt.Errorf("nv-hostengine does not run: %w", err)
	}
	return strings.TrimSpace(string(data)), nil
}

// FailDCGM makes calls of libdcgm go wrong, of all programs.
func (n *Node) FailDCGM(ctx context.Context, f dcgm.Fault) error {
	return n.act(ctx, daemon.Command{Do: "dcgm-call", Call: f})
}

// FailDCGMField makes values of DCGM go wrong.
func (n *Node) FailDCGMField(ctx context.Context, f dcgm.FieldFault) error {
	return n.act(ctx, daemon.Command{Do: "dcgm-field", Field: f})
}

// ClearDCGM ends these faults; calls that hang go on.
func (n *Node) ClearDCGM(ctx context.Context) error {
	return n.act(ctx, daemon.Command{Do: "dcgm-clear"})
}

// CollapseXIDs makes several XIDs of a GPU between two waits one event, as on real drivers.
func (n *Node) CollapseXIDs(ctx context.Context, on bool) error {
	return n.act(ctx, daemon.Command{Do: "collapse", On: on})
}
