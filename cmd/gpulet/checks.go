package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/gpulet/gpulet/agent"
	"github.com/gpulet/gpulet/agent/config"
	"github.com/gpulet/gpulet/apiserver"
	"github.com/gpulet/gpulet/gpu/nvml"
	"github.com/gpulet/gpulet/kubelet"
	"github.com/gpulet/gpulet/kubelet/plugin"
)

// checks are all that doctor looks at, in order.
func checks() []check {
	return []check{
		{"rights", checkRights},
		{"roots", checkRoots},
		{"driver", checkDriver},
		{"kubelet", checkKubelet},
		{"plugins", checkPlugins},
		{"CDI", checkCDI},
		{"state", checkState},
		{"notifications", checkNotifications},
		{"API server", checkAPIServer},
		{"agent", checkAgent},
	}
}

func checkRights(context.Context, config.Process) []finding {
	if os.Geteuid() == 0 {
		return []finding{{ok, "root", ""}}
	}
	return []finding{{warn, fmt.Sprintf("user %d", os.Geteuid()), "the agent needs root for the kubelet's sockets, device nodes and CDI specs"}}
}

func checkRoots(_ context.Context, p config.Process) (out []finding) {
	for _, r := range []struct{ flag, dir string }{
		{"driver-root", p.DriverRoot}, {"dev-root", p.DevRoot}, {"proc-root", p.ProcRoot}, {"sys-root", p.SysRoot},
	} {
		if info, err := os.Stat(r.dir); err != nil || !info.IsDir() {
			out = append(out, finding{fail, r.dir + " is no folder", "mount it, or set --" + r.flag})
		} else {
			out = append(out, finding{ok, fmt.Sprintf("%s (--%s)", r.dir, r.flag), ""})
		}
	}
	if _, err := os.Stat(filepath.Join(p.DevRoot, "nvidiactl")); err != nil {
		out = append(out, finding{warn, "no nvidiactl in " + p.DevRoot, "load the kernel module (nvidia-modprobe -c 0), or set --dev-root"})
	}
	return out
}

func checkDriver(_ context.Context, p config.Process) []finding {
	d := nvml.New(nvml.Options{Library: p.NVMLLibrary, DriverRoot: p.DriverRoot})
	if err := d.Open(); err != nil {
		return []finding{{fail, err.Error(), "install the NVIDIA driver on the host, or set --driver-root or --nvml-library"}}
	}
	defer func() { _ = d.Close() }()
	info, gaps, err := d.Info()
	if err != nil {
		return []finding{{fail, err.Error(), "see dmesg for the kernel module's messages"}}
	}
	n, err := d.Count()
	if err != nil {
		return []finding{{fail, err.Error(), "see dmesg for the kernel module's messages"}}
	}
	out := []finding{{ok, fmt.Sprintf("driver %s, CUDA %s, %d GPUs", info.Version, info.CUDA, n), ""}}
	if n == 0 {
		out[0].verdict, out[0].todo = warn, "the driver sees no GPU: see lspci and dmesg"
	}
	for _, g := range gaps {
		out = append(out, finding{warn, g.Feature + ": " + g.Reason, "a newer driver has it"})
	}
	return out
}

// kubeletPaths are those of the agent.
func kubeletPaths(p config.Process) kubelet.Paths {
	paths := kubelet.PathsBelow(p.KubeletRoot)
	if p.DevicePluginsDir != "" {
		paths.DevicePlugins = p.DevicePluginsDir
	}
	return paths
}

func checkKubelet(ctx context.Context, p config.Process) []finding {
	paths := kubeletPaths(p)
	return []finding{
		checkSocket(ctx, paths.Socket(), fail, "start the kubelet, mount its root folder, or set --kubelet-root or --device-plugins-dir"),
		checkSocket(ctx, paths.PodResources, warn, "without it devices are freed by the API server's word alone; set --kubelet-root to the kubelet's --root-dir"),
		checkSocket(ctx, paths.PodsAPI, warn, "Kubernetes before 1.37 has none, and pods come from the API server"),
	}
}

func checkSocket(ctx context.Context, path string, otherwise verdict, todo string) finding {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return finding{otherwise, err.Error(), todo}
	}
	_ = conn.Close()
	return finding{ok, path + " answers", ""}
}

// checkPlugins looks for other device plugins on the names that gpulet serves.
func checkPlugins(_ context.Context, p config.Process) (out []finding) {
	dir := kubeletPaths(p).DevicePlugins
	entries, err := os.ReadDir(dir)
	if err != nil {
		return []finding{{warn, err.Error(), "mount the kubelet's root folder, or set --kubelet-root or --device-plugins-dir"}}
	}
	for _, e := range entries {
		if e.Type()&fs.ModeSocket != 0 && strings.HasPrefix(e.Name(), "nvidia") && !strings.HasPrefix(e.Name(), plugin.Prefix) {
			out = append(out, finding{warn, "another device plugin was here: " + e.Name(), "remove NVIDIA's device plugin from this node: two cannot serve one resource"})
		}
	}
	if len(out) == 0 {
		out = append(out, finding{ok, "no other GPU device plugin in " + dir, ""})
	}
	return out
}

func checkCDI(_ context.Context, p config.Process) []finding {
	return []finding{checkWritable(p.CDIDir, "mount the host's folder that containerd or CRI-O watches, or set --cdi-dir")}
}

func checkWritable(dir, todo string) finding {
	f, err := os.CreateTemp(dir, ".gpulet-doctor-*")
	if errors.Is(err, fs.ErrNotExist) {
		return finding{warn, dir + " does not exist yet; the agent makes it", todo}
	}
	if err != nil {
		return finding{fail, err.Error(), todo}
	}
	_ = f.Close()
	_ = os.Remove(f.Name())
	return finding{ok, dir + " can be written", ""}
}

func checkState(_ context.Context, p config.Process) []finding {
	out := []finding{checkWritable(p.StateDir, "mount a folder of the host that outlives pods, or set --state-dir")}
	owner, held, err := agent.LockOwner(p.StateDir)
	switch {
	case err != nil:
		out = append(out, finding{warn, err.Error(), ""})
	case held:
		out = append(out, finding{ok, fmt.Sprintf("the lock is held by pid %d, %s, since %s", owner.PID, owner.Version, owner.Since.UTC().Format(time.DateTime)), ""})
	default:
		out = append(out, finding{ok, "the lock is free", ""})
	}
	return out
}

func checkNotifications(context.Context, config.Process) []finding {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return []finding{{warn, err.Error(), "raise fs.inotify.max_user_instances; until then the agent polls"}}
	}
	_ = w.Close()
	return []finding{{ok, "inotify", ""}}
}

func checkAPIServer(ctx context.Context, p config.Process) []finding {
	const todo = "set NODE_NAME from spec.nodeName and give the pod its service account; without the API server the agent runs on, with slower counts and no Events"
	if p.APIServer == "off" {
		return []finding{{ok, "switched off", ""}}
	}
	client, err := apiserver.New(apiserver.Config{Kubeconfig: p.Kubeconfig, Node: p.NodeName})
	if err != nil {
		return []finding{{warn, err.Error(), todo}}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { _ = client.Run(ctx) }()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, known := client.Allocatable(); known {
			return []finding{{ok, "it answers for Node " + p.NodeName, ""}}
		}
		select {
		case <-ctx.Done():
			return []finding{{warn, "it does not answer for Node " + p.NodeName, "see that it can be reached, that the Node exists and that the role may list and watch nodes"}}
		case <-tick.C:
		}
	}
}

func checkAgent(ctx context.Context, p config.Process) []finding {
	s, err := agent.Client{Socket: agent.Socket(p.RunDir)}.Status(ctx)
	switch {
	case err != nil:
		return []finding{{warn, err.Error(), "start it with gpulet run, or set --run-dir"}}
	case len(s.NotReady) > 0:
		return []finding{{fail, "it is not ready: " + strings.Join(s.NotReady, "; "), "gpulet status says more"}}
	case s.Config.Error != "":
		return []finding{{fail, "its configuration is wrong, and what was right last goes on: " + s.Config.Error, "correct the file"}}
	}
	return []finding{{ok, fmt.Sprintf("version %s is ready", s.Version), ""}}
}
