// Package cdi tells container runtimes what a container gets of a GPU: one CDI spec for each device that exists, one for the
// driver's libraries, and the capability nodes behind MIG. It owns the files gpulet.dev-* of the CDI folder and the hook that
// the runtime runs for them. A spec is a gate: it is there only while the hardware behind it is. It never calls the driver and
// never gives away the capabilities to configure or to monitor MIG.
package cdi
