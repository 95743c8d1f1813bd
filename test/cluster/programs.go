package cluster

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Programs says where the programs of a cluster are: absolute paths in the user's cache folder.
type Programs struct {
	// Kubernetes is etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kubelet; the
	// first argument picks one.
	Kubernetes string
	// Containerd is the folder of containerd, containerd-shim-runc-v2, ctr.
	Containerd string
	// Runc is the folder of runc.
	Runc string
	// Pause is a static program that waits and reaps: the sandbox image and each node's first process.
	Pause string
}

// A build is one module, or one package of the main module, and how to compile it.
type build struct {
	name   string   // folder below this package, and below the cache
	static bool     // without cgo
	args   []string // to go build, before the packages
	pkgs   []string
	why    string // what to expect of a cold build
}

// What the programs say that they are; their modules say what they are made from.
const (
	kubernetesVersion = "v1.37.2"
	containerdVersion = "v2.4.2"
)

func builds() []build {
	version := "-X k8s.io/component-base/version."
	containerd := "github.com/containerd/containerd/v2/cmd/"
	return []build{
		{name: "pause", static: true, pkgs: []string{"."}, why: "a second"},
		{name: "runc", args: []string{"-tags", "seccomp"}, pkgs: []string{"github.com/opencontainers/runc"}, why: "about 15 s on 2 cores"},
		{
			name: "containerd", static: true, args: []string{
				"-tags", "no_btrfs no_zfs no_devmapper",
				"-ldflags", "-s -w -X github.com/containerd/containerd/v2/version.Version=" + containerdVersion,
			},
			pkgs: []string{containerd + "containerd", containerd + "containerd-shim-runc-v2", containerd + "ctr"},
			why:  "about 2 min on 2 cores",
		},
		{
			name: "kubernetes", static: true, pkgs: []string{"."}, why: "about 7 min on 2 cores; later runs take it from the cache",
			args: []string{"-ldflags", "-s -w " + version + "gitVersion=" + kubernetesVersion + " " +
				version + "gitMajor=1 " + version + "gitMinor=37 " + version + "gitTreeState=clean"},
		},
	}
}

// BuildPrograms builds what is not yet in the user's cache folder and says where everything is. A
// cold build takes minutes and says so on log; two that run at once wait for each other.
func BuildPrograms(ctx context.Context, log *slog.Logger) (Programs, error) {
	source, err := goOutput(ctx, "", nil, "list", "-f", "{{.Dir}}", "github.com/gpulet/gpulet/test/cluster")
	if err != nil {
		return Programs{}, fmt.Errorf("find the source of test/cluster: %w", err)
	}
	version, err := goOutput(ctx, "", nil, "env", "GOVERSION", "GOARCH")
	if err != nil {
		return Programs{}, err
	}
	user, err := os.UserCacheDir()
	if err != nil {
		return Programs{}, err
	}
	cache := filepath.Join(user, "gpulet", "cluster")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return Programs{}, err
	}
	folders := map[string]string{}
	for _, b := range builds() {
		folders[b.name], err = b.ensure(ctx, filepath.Join(source, b.name), cache, version, log)
		if err != nil {
			return Programs{}, fmt.Errorf("build %s: %w", b.name, err)
		}
	}
	return Programs{
		Kubernetes: filepath.Join(folders["kubernetes"], "kubernetes"),
		Containerd: folders["containerd"],
		Runc:       folders["runc"],
		Pause:      filepath.Join(folders["pause"], "pause"),
	}, nil
}

// ensure returns the folder with the build's programs, and makes it under a lock if there is none.
func (b build) ensure(ctx context.Context, source, cache, version string, log *slog.Logger) (string, error) {
	key, err := b.key(source, version)
	if err != nil {
		return "", err
	}
	folder := filepath.Join(cache, b.name+"-"+key)
	if _, err := os.Stat(folder); err == nil {
		return folder, nil
	}
	lock, err := os.OpenFile(filepath.Join(cache, b.name+".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer func() { _ = lock.Close() }()
	for waited := false; unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil; waited = true {
		if !waited {
			log.Info("waiting for a build that runs already", "program", b.name)
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(time.Second):
		}
	}
	if _, err := os.Stat(folder); err == nil {
		return folder, nil
	}
	temp, err := os.MkdirTemp(cache, b.name+"-building-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(temp) }()
	if err := os.Chmod(temp, 0o755); err != nil {
		return "", err
	}
	log.Info("building, once for this version", "program", b.name, "takes", b.why)
	start := time.Now()
	args := slices.Concat([]string{"build", "-trimpath", "-buildvcs=false", "-o", temp + "/"}, b.flags(), b.pkgs)
	cgo := "CGO_ENABLED=1"
	if b.static {
		cgo = "CGO_ENABLED=0"
	}
	if _, err := goOutput(ctx, source, []string{cgo, "GOWORK=off", "GOFLAGS="}, args...); err != nil {
		return "", err
	}
	log.Info("built", "program", b.name, "seconds", int(time.Since(start).Seconds()))
	return folder, os.Rename(temp, folder)
}

func (b build) flags() []string {
	if slices.Contains(b.args, "-ldflags") {
		return b.args
	}
	return append([]string{"-ldflags", "-s -w"}, b.args...)
}

// key changes with anything that the result depends on.
func (b build) key(source, version string) (string, error) {
	h := sha256.New()
	_, _ = fmt.Fprintln(h, version, runtime.GOOS, b.name, b.static, b.args, b.pkgs)
	entries, err := os.ReadDir(source)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if e.IsDir() {
			continue
		}
		f, err := os.Open(filepath.Join(source, e.Name()))
		if err != nil {
			return "", err
		}
		_, _ = fmt.Fprintln(h, e.Name())
		_, err = io.Copy(h, f)
		_ = f.Close()
		if err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil))[:16], nil
}

// BuildProgram builds a main package of this module without cgo, as images need it: one file at out.
func BuildProgram(ctx context.Context, pkg, out string) error {
	_, err := goOutput(ctx, "", []string{"CGO_ENABLED=0"}, "build", "-trimpath", "-o", out, pkg)
	return err
}

// goOutput runs the go command in dir with some more environment.
func goOutput(ctx context.Context, dir string, env []string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", args[0], err, errs.String())
	}
	return strings.TrimSpace(out.String()), nil
}
