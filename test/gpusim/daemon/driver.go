package daemon

import (
	"context"
	"errors"
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
	if err := installDCGM(ctx, root); err != nil {
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

// installDCGM puts libdcgm beside the driver's library, unless a folder of built libraries has none. Its other makes are put into
// place when somebody asks for them.
func installDCGM(ctx context.Context, root string) error {
	library, err := lib.DCGM(ctx, "")
	if errors.Is(err, fs.ErrNotExist) && os.Getenv(lib.DirEnv) != "" {
		return nil
	}
	if err != nil {
		return err
	}
	return put(filepath.Join(root, "lib", "libdcgm.so.4"), library, 0o755)
}

// InstallDCGM puts a make of libdcgm into a folder of its own in the root folder, for LD_LIBRARY_PATH, and gives the folder.
func InstallDCGM(ctx context.Context, root, variant string) (string, error) {
	library, err := lib.DCGM(ctx, variant)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, "dcgm", "variant-"+variant)
	return dir, put(filepath.Join(dir, "libdcgm.so.4"), library, 0o755)
}
