package daemon

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gpulet/gpulet/test/gpusim/lib"
)

// libraries is where a driver root has its libraries.
const libraries = "usr/lib/x86_64-linux-gnu"

// install puts the library of a driver version into place, and with it what the driver's packages bring: libcuda and nvidia-smi as
// names to mount into containers. Libraries of other versions go.
func install(ctx context.Context, root, version string) error {
	library, err := lib.Library(ctx, version)
	if err != nil {
		return err
	}
	cuda, err := lib.Cuda(ctx)
	if err != nil {
		return err
	}
	if err := put(filepath.Join(root, "lib", "libnvidia-ml.so.1"), library, 0o755); err != nil {
		return err
	}
	dir := filepath.Join(root, "driver", libraries)
	if err := put(filepath.Join(dir, "libnvidia-ml.so."+version), library, 0o755); err != nil {
		return err
	}
	if err := put(filepath.Join(dir, "libcuda.so."+version), cuda, 0o755); err != nil {
		return err
	}
	if err := put(filepath.Join(root, "driver/usr/bin/nvidia-smi"), []byte("#!/bin/sh\necho 'simulated driver "+version+"'\n"), 0o755); err != nil {
		return err
	}
	for _, name := range []string{"libnvidia-ml.so", "libcuda.so"} {
		if err := link(name+"."+version, filepath.Join(dir, name+".1")); err != nil {
			return err
		}
	}
	if err := link("libcuda.so.1", filepath.Join(dir, "libcuda.so")); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Type()&fs.ModeSymlink == 0 && !strings.HasSuffix(e.Name(), ".so."+version) {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return fmt.Errorf("old library: %w", err)
			}
		}
	}
	return nil
}
