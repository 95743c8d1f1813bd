// Package lib builds libnvidia-ml.so.1 and libdcgm.so.4 for the simulated node: thin C libraries that forward calls to the daemon,
// NVML's in one variant for each driver branch, which exports what that branch had. It owns the C sources and the cache of built
// libraries; it needs gcc and NVIDIA's headers, which it finds in the go-nvml and go-dcgm modules.
package lib

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/gpulet/gpulet/test/gpusim/model"
)

//go:generate go run ./gen

//go:embed c
var sources embed.FS

// DirEnv names a folder with built libraries, "<branch>.so", for machines without a compiler.
const DirEnv = "GPUSIM_LIBRARIES"

// mark stands before the driver version in a built library.
const mark = "GPUSIM-DRIVER-VERSION:"

// HeaderDir is the folder of NVIDIA's nvml.h in the go-nvml module.
func HeaderDir(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/NVIDIA/go-nvml").Output()
	if err != nil {
		return "", fmt.Errorf("find the go-nvml module: %w", err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "gen", "nvml"), nil
}

// Library gives the library as the driver of that version brings it.
func Library(ctx context.Context, version string) ([]byte, error) {
	branch := kin(model.BranchOf(version))
	path := filepath.Join(os.Getenv(DirEnv), fmt.Sprintf("%d.so", branch))
	if os.Getenv(DirEnv) == "" {
		var err error
		if path, err = Build(ctx, branch); err != nil {
			return nil, err
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("library of branch %d: %w", branch, err)
	}
	at := bytes.Index(data, append([]byte(mark), 0))
	if at < 0 || len(version) > 40 {
		return nil, fmt.Errorf("no place for driver version %q in %s", version, path)
	}
	copy(data[at+len(mark):], version)
	return data, nil
}

// Branches are those between which the exported functions differ, the first of each.
func Branches() []model.Branch { return []model.Branch{470, 525, 535, 550, 580, 600} }

// kin is the one of Branches that exports the same as a branch.
func kin(branch model.Branch) model.Branch {
	out := Branches()[0]
	for _, b := range Branches() {
		if b <= branch {
			out = b
		}
	}
	return out
}

// Cuda gives a libcuda.so.1 that finds no device.
func Cuda(ctx context.Context) ([]byte, error) {
	if dir := os.Getenv(DirEnv); dir != "" {
		return os.ReadFile(filepath.Join(dir, "libcuda.so"))
	}
	path, err := cached("libcuda.so", func(hash io.Writer) error { return hashSources(hash) })
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); err != nil {
		if err := compile(ctx, path, "{ global: cuInit; local: *; };\n", "libcuda.so.1", nil, "cuda.c"); err != nil {
			return nil, err
		}
	}
	return os.ReadFile(path)
}

// Build compiles the library of a branch into the user's cache, unless it is there, and gives its path.
func Build(ctx context.Context, branch model.Branch) (string, error) {
	include, err := HeaderDir(ctx)
	if err != nil {
		return "", err
	}
	header, err := os.ReadFile(filepath.Join(include, "nvml.h"))
	if err != nil {
		return "", fmt.Errorf("NVIDIA's header: %w", err)
	}
	symbols, err := Symbols(branch)
	if err != nil {
		return "", err
	}
	script := "{ global:\n  " + strings.Join(symbols, ";\n  ") + ";\nlocal: *; };\n"
	path, err := cached(fmt.Sprintf("%d.so", branch), func(hash io.Writer) error {
		_, err := hash.Write(append(header, script...))
		return errors.Join(err, hashSources(hash))
	})
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	return path, compile(ctx, path, script, "libnvidia-ml.so.1", nil, "sim.c", "conn.c", "calls.c", "-I"+include)
}

// cached is the path of a built file by what it is built from.
func cached(name string, input func(hash io.Writer) error) (string, error) {
	hash := sha256.New()
	if err := input(hash); err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(cache, "gpulet", "gpusim", hex.EncodeToString(hash.Sum(nil)[:8]), name), nil
}

func hashSources(hash io.Writer) error {
	return fs.WalkDir(sources, "c", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := sources.ReadFile(path)
		if err == nil {
			_, err = hash.Write(data)
		}
		return err
	})
}

// compile makes a shared library of C sources and flags that exports what the linker script says.
// The files are written beside the sources first.
func compile(ctx context.Context, path, script, soname string, files map[string]string, args ...string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), "build")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := os.CopyFS(dir, sources); err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, "c", name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	exports := filepath.Join(dir, "exports")
	if err := os.WriteFile(exports, []byte(script), 0o644); err != nil {
		return err
	}
	made := filepath.Join(dir, "lib.so")
	cmd := exec.CommandContext(ctx, "gcc", append([]string{
		"-std=gnu11", "-shared", "-fPIC", "-O1", "-s", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-Wno-address", "-Wno-nonnull-compare",
		"-pthread", "-ldl", "-o", made, "-Wl,-soname," + soname, "-Wl,--version-script=" + exports,
	}, args...)...)
	cmd.Dir = filepath.Join(dir, "c")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("compile %s: %w\n%s", soname, err, out)
	}
	return os.Rename(made, path)
}

// Symbols are the functions that the library of a branch exports, sorted.
func Symbols(branch model.Branch) ([]string, error) {
	calls, err := sources.ReadFile("c/calls.c")
	if err != nil {
		return nil, err
	}
	since := model.Symbols()
	out := []string{"nvmlErrorString"}
	for _, m := range regexp.MustCompile(`(?m)^CALL\((\w+),`).FindAllSubmatch(calls, -1) {
		if name := string(m[1]); branch >= since[name] {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out, nil
}
