package apiserver

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

// object is what a follower has to know of each object.
type object interface {
	GetUID() types.UID
	GetResourceVersion() string
}

// objects are the objects of one kind that selectors find.
type objects[T object] struct {
	fields, labels string // the selectors
	list           func(context.Context, metav1.ListOptions) (items []T, version string, err error)
	watch          func(context.Context, metav1.ListOptions) (watch.Interface, error)
	take           func(runtime.Object) (T, bool) // takes what is needed of an object; as it is when nil
}

// follower tells of objects and their changes. It is used by one goroutine at a time.
type follower[T object] struct {
	objects[T]
	version string // the newest that was seen
}

// follow tells all objects, then synced, then each change, until ctx ends or the server breaks. When the server has forgotten
// what came since the last change, it lists again and tells what is gone. It never returns nil.
func (f *follower[T]) follow(ctx context.Context, tell func(obj T, gone bool), synced func()) error {
	known := map[types.UID]T{}
	note := func(obj T, gone bool) {
		if f.version = obj.GetResourceVersion(); gone {
			delete(known, obj.GetUID())
		} else {
			known[obj.GetUID()] = obj
		}
		tell(obj, gone)
	}
	for first := true; ; first = false {
		items, err := f.all(ctx)
		if err != nil {
			return fmt.Errorf("list: %w", err)
		}
		version := f.version
		now := map[types.UID]bool{}
		for _, obj := range items {
			now[obj.GetUID()] = true
		}
		for uid, obj := range known {
			if !now[uid] {
				note(obj, true)
			}
		}
		for _, obj := range items {
			note(obj, false)
		}
		f.version = version // of the list, newer than that of each object
		if first {
			synced()
		}
		for err == nil {
			err = f.changes(ctx, note)
		}
		if !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err) {
			return fmt.Errorf("watch: %w", err)
		}
	}
}

// all lists the objects as they are: a server that answered from a memory that lags would make an object look gone.
func (f *follower[T]) all(ctx context.Context) ([]T, error) {
	ctx, cancel := context.WithTimeout(ctx, 6*callTimeout)
	defer cancel()
	items, version, err := f.list(ctx, metav1.ListOptions{FieldSelector: f.fields, LabelSelector: f.labels})
	if err != nil {
		return nil, err
	}
	f.version = version
	return items, nil
}

// changes tells changes until the server ends the watch, as it does every few minutes (nil), or it breaks.
func (f *follower[T]) changes(ctx context.Context, note func(T, bool)) error {
	seconds := 300 + rand.Int64N(300) //nolint:gosec // it spreads load
	// A connection that died silently ends a little after the server would have ended it.
	ctx, cancel := context.WithTimeout(ctx, time.Duration(seconds+30)*time.Second)
	defer cancel()
	began := time.Now()
	opening := time.AfterFunc(6*callTimeout, cancel)
	w, err := f.watch(ctx, metav1.ListOptions{
		FieldSelector: f.fields, LabelSelector: f.labels, ResourceVersion: f.version, AllowWatchBookmarks: true, TimeoutSeconds: &seconds,
	})
	if opening.Stop(); err != nil {
		return err
	}
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e, ok := <-w.ResultChan():
			if !ok {
				if err := ctx.Err(); err != nil {
					return err
				}
				if time.Since(began) < time.Second {
					return errors.New("the server ended it at once")
				}
				return nil
			}
			if err := f.change(e, note); err != nil {
				return err
			}
		}
	}
}

func (f *follower[T]) change(e watch.Event, note func(T, bool)) error {
	if e.Type == watch.Error {
		return apierrors.FromObject(e.Object)
	}
	obj, ok := f.taken(e.Object)
	if !ok {
		return fmt.Errorf("the server sent %T", e.Object)
	}
	switch e.Type {
	case watch.Bookmark:
		f.version = obj.GetResourceVersion()
	case watch.Added, watch.Modified:
		note(obj, false)
	case watch.Deleted:
		note(obj, true)
	default:
	}
	return nil
}

func (f *follower[T]) taken(obj runtime.Object) (T, bool) {
	if f.take != nil {
		return f.take(obj)
	}
	t, ok := obj.(T)
	return t, ok
}
