package fakekubelet

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	pluginapi "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

// StartContainer makes one attempt to start a container that does not run, as a pod worker does: PreStartContainer for each
// resource whose plugin asks for it, then what the plugins answered at Allocate goes to the runtime. After an error the
// container waits with CreateContainerConfigError and an Event has the text.
func (k *Kubelet) StartContainer(ctx context.Context, uid, name string) (Container, error) {
	p := k.current()
	if p == nil {
		return Container{}, ErrDown
	}
	k.mu.Lock()
	r := k.pods[uid]
	if r == nil || r.containers[name] == nil {
		k.mu.Unlock()
		return Container{}, fmt.Errorf("pod %s has no container %q", uid, name)
	}
	object, state, ended := r.object, r.containers[name].state, r.ended
	k.mu.Unlock()
	switch {
	case ended:
		return Container{}, fmt.Errorf("pod %s/%s has ended", object.Namespace, object.Name)
	case state == Running:
		return Container{}, fmt.Errorf("container %s of %s/%s runs already", name, object.Namespace, object.Name)
	case object.Status.StartTime == nil:
		return Container{}, fmt.Errorf("pod %s/%s is not admitted", object.Namespace, object.Name)
	}
	given, err := p.options(ctx, object, name)
	if err != nil {
		k.update(uid, func(r *pod, _ *corev1.Pod) {
			c := r.containers[name]
			c.state, c.reason, c.message = Waiting, "CreateContainerConfigError", err.Error()
		})
		k.event(object.Namespace+"/"+object.Name, "Failed", "Error: "+err.Error())
		return Container{}, err
	}
	k.update(uid, func(r *pod, object *corev1.Pod) {
		if r.ended {
			return
		}
		k.serial++
		c := r.containers[name]
		if c.id != "" {
			c.restarts++
		}
		c.id, c.state, c.reason, c.message, c.given = fmt.Sprintf("%064x", k.serial), Running, "", "", given
		if kind, _ := kindOf(object, name); kind == App {
			object.Status.Phase = corev1.PodRunning
		}
	})
	now, _ := k.Pod(uid)
	return now.Container(name), nil
}

// options calls PreStartContainer where it is wanted and merges the answers of Allocate.
func (p *process) options(ctx context.Context, object *corev1.Pod, name string) (Given, error) {
	uid := string(object.UID)
	again := false
	var spec corev1.Container
	for _, c := range containers(object) {
		if c.Name == name {
			spec = c
		}
	}
	d := p.devices
	for resource, q := range spec.Resources.Limits {
		r := string(resource)
		if !d.known(r) || q.Value() == 0 {
			continue
		}
		if err := d.preStart(ctx, uid, name, r); err != nil {
			return Given{}, err
		}
		d.mu.Lock()
		again = again || d.held.ids(uid, name, r) == nil
		d.mu.Unlock()
	}
	if again && p.k.active()[uid] { // a race at the start of the kubelet
		if err := d.allocate(object, &spec); err != nil {
			return Given{}, err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.held.given(uid, name), nil
}

func (d *devices) preStart(ctx context.Context, uid, container, r string) error {
	d.mu.Lock()
	e, ids := d.endpoints[r], d.held.ids(uid, container, r)
	d.mu.Unlock()
	switch {
	case e == nil:
		return fmt.Errorf("endpoint not found in cache for a registered resource: %s", r)
	case e.options == nil || !e.options.PreStartRequired:
		return nil
	case ids == nil:
		return fmt.Errorf("no devices found allocated in local cache for pod %s, container %s, resource %s", uid, container, r)
	}
	if err := d.rpc(e, "PreStartContainer", keys(ids), func(devs []string) error {
		ctx, cancel := context.WithTimeout(ctx, d.p.k.opts.PreStartTimeout)
		defer cancel()
		defer context.AfterFunc(d.p.ctx, cancel)()
		_, err := e.api.PreStartContainer(ctx, &pluginapi.PreStartContainerRequest{DevicesIds: devs})
		return err
	}); err != nil {
		return fmt.Errorf("device plugin PreStartContainer rpc failed with err: %w", err)
	}
	return nil
}

// StopContainer ends one container of a pod, as a crash does; the pod goes on.
func (k *Kubelet) StopContainer(uid, name string) {
	k.update(uid, func(r *pod, _ *corev1.Pod) {
		if c := r.containers[name]; c != nil {
			c.state = Terminated
		}
	})
}

// RestartContainer ends a container and makes one attempt to start it again.
func (k *Kubelet) RestartContainer(ctx context.Context, uid, name string) (Container, error) {
	k.StopContainer(uid, name)
	return k.StartContainer(ctx, uid, name)
}

// RunPod admits a pod and starts its containers as StartPod does.
func (k *Kubelet) RunPod(ctx context.Context, spec PodSpec) (Pod, error) {
	p, err := k.Admit(ctx, spec)
	if err != nil {
		return p, err
	}
	return k.StartPod(ctx, p.UID)
}

// StartPod starts the containers that do not run, in order, and tries again after each error until ctx ends. Init containers
// end at once.
func (k *Kubelet) StartPod(ctx context.Context, uid string) (Pod, error) {
	p, ok := k.Pod(uid)
	if !ok {
		return Pod{}, fmt.Errorf("there is no pod %s", uid)
	}
	for _, c := range p.Containers {
		if c.State == Running || c.State == Terminated && c.Kind == Init {
			continue
		}
		if err := k.startRetrying(ctx, uid, c.Name); err != nil {
			p, _ = k.Pod(uid)
			return p, err
		}
		if c.Kind == Init {
			k.StopContainer(uid, c.Name)
		}
	}
	p, _ = k.Pod(uid)
	return p, nil
}

func (k *Kubelet) startRetrying(ctx context.Context, uid, name string) error {
	for i := 0; ; i++ {
		_, err := k.StartContainer(ctx, uid, name)
		if err == nil || !k.active()[uid] {
			return err
		}
		delays := k.opts.RetryDelays
		select {
		case <-k.opts.Clock.After(delays[min(i, len(delays)-1)]):
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		}
	}
}
