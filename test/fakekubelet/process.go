package fakekubelet

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"
	pluginapi "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
	podresources "k8s.io/kubelet/pkg/apis/podresources/v1"
	podsapi "k8s.io/kubelet/pkg/apis/pods/v1alpha1"

	"github.com/gpulet/gpulet/test/fakekubelet/checkpoint"
)

const (
	checkpointFile = checkpoint.File
	healthy        = pluginapi.Healthy
)

// process is one run of the kubelet: what it has in memory, its servers and its goroutines.
type process struct {
	k      *Kubelet
	ctx    context.Context // ends with the process
	cancel context.CancelFunc
	wg     sync.WaitGroup
	// loop is the sync loop: it does one thing at a time, in order, and a plugin that hangs in Allocate stops it.
	loop chan func()
	// ready is set once the pods that were there at the start have been admitted.
	ready   atomic.Bool
	servers []*grpc.Server
	devices *devices
	clients *clients
	watches watches
}

// start runs a new process and admits the pods that are there. It gives those that were rejected.
func (k *Kubelet) start(o RestartOptions) (rejected []string, err error) {
	p := &process{k: k, loop: make(chan func())}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.devices = newDevices(p)
	p.clients = &clients{p: p, byResource: map[string][]*client{}}
	p.watches.clients = map[chan event]bool{}
	if err := p.serve(); err != nil {
		p.stop()
		return nil, fmt.Errorf("start the kubelet: %w", err)
	}
	k.mu.Lock()
	k.process = p
	for _, r := range k.pods {
		r.told = false
	}
	k.changeLocked()
	k.mu.Unlock()
	p.syncNode()
	p.wg.Add(2)
	go p.run()
	go p.keepNode()
	if o.Readmit != nil {
		o.Readmit()
	}
	err = p.do(p.ctx, func() {
		for _, uid := range k.byCreation() {
			if !p.admit(uid) {
				rejected = append(rejected, uid)
			}
		}
		p.ready.Store(true)
	})
	k.change()
	if err != nil {
		return nil, err
	}
	return rejected, nil
}

// serve reads the checkpoint, removes the sockets of plugins and listens.
func (p *process) serve() error {
	dir := p.k.DevicePlugins()
	for _, d := range []string{dir, filepath.Dir(p.k.PodResources()), filepath.Dir(p.k.PodsAPI())} {
		if err := os.MkdirAll(d, 0o750); err != nil {
			return err
		}
	}
	entries, registered, err := checkpoint.Read(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		p.k.zeroNode()
	case err != nil:
		p.k.opts.Log.Warn("the kubelet goes on without its checkpoint", "error", err)
	default:
		p.devices.restore(entries, registered)
	}
	if err := removeSockets(dir); err != nil {
		return err
	}
	limit := grpc.UnaryInterceptor(newLimiter(wallClock{}).intercept)
	resources := grpc.NewServer(limit)
	podresources.RegisterPodResourcesListerServer(resources, resourcesServer{p: p})
	if err := p.listen(p.k.PodResources(), resources); err != nil {
		return err
	}
	if !p.k.opts.NoPodsAPI {
		pods := grpc.NewServer(grpc.UnaryInterceptor(newLimiter(wallClock{}).intercept))
		podsapi.RegisterPodsServer(pods, podsServer{p: p})
		if err := p.listen(p.k.PodsAPI(), pods); err != nil {
			return err
		}
	}
	registration := grpc.NewServer()
	pluginapi.RegisterRegistrationServer(registration, registrar{p: p})
	return p.listen(filepath.Join(dir, "kubelet.sock"), registration)
}

func (p *process) listen(path string, s *grpc.Server) error {
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(p.ctx, "unix", path)
	if err != nil {
		return err
	}
	p.servers = append(p.servers, s)
	p.wg.Add(1)
	go func() {
		defer p.wg.Done()
		if err := s.Serve(l); err != nil {
			p.k.opts.Log.Error("a socket of the kubelet is not served any more", "socket", path, "error", err)
		}
	}()
	return nil
}

func removeSockets(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Type()&fs.ModeSocket != 0 {
			// Plugins remove their own, too.
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// run is the sync loop.
func (p *process) run() {
	defer p.wg.Done()
	for {
		select {
		case f := <-p.loop:
			f()
		case <-p.ctx.Done():
			return
		}
	}
}

// do has the sync loop run f and waits for it. A caller whose ctx ends goes; f runs all the same.
func (p *process) do(ctx context.Context, f func()) error {
	done := make(chan struct{})
	select {
	case p.loop <- func() { defer close(done); f() }:
	case <-ctx.Done():
		return ctx.Err()
	case <-p.ctx.Done():
		return ErrDown
	}
	select {
	case <-done:
		if p.ctx.Err() != nil {
			return ErrDown
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-p.ctx.Done():
		return ErrDown
	}
}

// stop ends the process and waits for its goroutines.
func (p *process) stop() {
	p.cancel()
	for _, s := range p.servers {
		s.Stop()
	}
	p.clients.close()
	p.wg.Wait()
}

// die is a crash: nothing more is written, and everybody loses the connection. Who learns of it finds the kubelet gone.
func (p *process) die(why string) {
	k := p.k
	k.mu.Lock()
	if k.process == p {
		k.process, k.dead = nil, p
	}
	k.changeLocked()
	k.mu.Unlock()
	select {
	case k.died <- why:
	default:
	}
	p.cancel()
	go p.stop()
}
