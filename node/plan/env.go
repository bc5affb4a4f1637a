package plan

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/stave-run/stave/projections"
)

// Node is what a pod's environment can say about where it runs.
type Node struct {
	Name string
	// Hostname is what the machine calls itself.
	Hostname string
	IP       string
	CPU      resource.Quantity // allocatable
	Memory   resource.Quantity // allocatable
	Machine  int64             // the memory of the whole machine, in bytes; 0 when nobody knows
	DNS      string            // the cluster DNS service's address
	Domain   string            // "cluster.local"
	SELinux  bool              // whether the kernel labels what runs, which nothing here does
	// Unheard says that since this agent began nobody has told it what the node shall run: all that it knows is of before.
	Unheard bool
}

// Environment is a container's environment in the order in which it was made.
type Environment struct {
	names  []string
	values map[string]string
}

func (e *Environment) set(name, value string) {
	if _, ok := e.values[name]; !ok {
		e.names = append(e.names, name)
	}
	e.values[name] = value
}

// List is NAME=value entries.
func (e Environment) List() []string {
	out := make([]string, len(e.names))
	for i, n := range e.names {
		out[i] = n + "=" + e.values[n]
	}
	return out
}

// Expand replaces $(NAME) in each word of a command.
func (e Environment) Expand(words []string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = expand(w, e.value)
	}
	return out
}

// ExpandPath replaces $(NAME) in a path; a name without a value is an error, as it would lead elsewhere.
func (e Environment) ExpandPath(path string) (string, error) {
	missing := ""
	out := expand(path, func(name string) (string, bool) {
		v, ok := e.value(name)
		if !ok {
			missing = name
		}
		return v, ok
	})
	if missing != "" {
		return "", fmt.Errorf("missing value for %q", missing)
	}
	return out, nil
}

func (e Environment) value(name string) (string, bool) { v, ok := e.values[name]; return v, ok }

// Env makes a container's environment: services first, then envFrom, then env, where the later wins. The error names
// what is missing, in Kubernetes' words.
func Env(row *projections.DesiredPod, c corev1.Container, n Node, podIP string) (Environment, error) {
	e := Environment{values: map[string]string{}}
	e.set("HOSTNAME", Hostname(&row.Pod, n))
	links := row.Pod.Spec.EnableServiceLinks
	for _, s := range row.Services {
		if links == nil || *links || s.Name == projections.GatewayKey.Name {
			e.service(s)
		}
	}
	for _, from := range c.EnvFrom {
		if err := e.from(row, from); err != nil {
			return e, err
		}
	}
	for _, v := range c.Env {
		value := expand(v.Value, e.value)
		if v.ValueFrom != nil {
			got, ok, err := source(row, c, v.ValueFrom, n, podIP)
			if err != nil {
				return e, err
			}
			if !ok {
				continue // optional and absent: the variable is not set
			}
			value = got
		}
		e.set(v.Name, value)
	}
	return e, nil
}

func (e *Environment) from(row *projections.DesiredPod, from corev1.EnvFromSource) error {
	data, ok, err := fromSource(row, from)
	if err != nil || !ok {
		return err
	}
	for _, k := range slices.Sorted(maps.Keys(data)) {
		e.set(from.Prefix+k, data[k])
	}
	return nil
}

// fromSource is all that a ConfigMap or Secret holds; false means that it is optional and not there.
func fromSource(row *projections.DesiredPod, from corev1.EnvFromSource) (map[string]string, bool, error) {
	switch {
	case from.ConfigMapRef != nil:
		data, ok := row.ConfigMaps[from.ConfigMapRef.Name]
		if !ok {
			return nil, false, absent("configmap", from.ConfigMapRef.Name, from.ConfigMapRef.Optional)
		}
		return data.Data, true, nil
	case from.SecretRef != nil:
		data, ok := row.Secrets[from.SecretRef.Name]
		if !ok {
			return nil, false, absent("secret", from.SecretRef.Name, from.SecretRef.Optional)
		}
		out := map[string]string{}
		for k, v := range data.Data {
			out[k] = string(v)
		}
		return out, true, nil
	}
	return nil, false, fmt.Errorf("envFrom of container: only configMapRef and secretRef are supported")
}

// absent is an error unless what is not there is optional.
func absent(kind, name string, optional *bool) error {
	if optional != nil && *optional {
		return nil
	}
	return fmt.Errorf("%s %q not found", kind, name)
}

// source is a variable's value from elsewhere; false means that it is optional and not there.
func source(row *projections.DesiredPod, c corev1.Container, s *corev1.EnvVarSource, n Node, podIP string) (string, bool, error) {
	switch {
	case s.ConfigMapKeyRef != nil:
		return configKey(row, s.ConfigMapKeyRef)
	case s.FieldRef != nil && s.FieldRef.FieldPath == "metadata.uid":
		return string(row.UID), true, nil
	case s.FieldRef != nil:
		v, err := field(&row.Pod, s.FieldRef.FieldPath, n, podIP)
		return v, true, err
	case s.ResourceFieldRef != nil:
		v, err := resourceField(row, c, s.ResourceFieldRef, n)
		return v, true, err
	case s.SecretKeyRef != nil:
		return secretKey(row, s.SecretKeyRef)
	}
	return "", false, fmt.Errorf("valueFrom without a source that is supported")
}

func configKey(row *projections.DesiredPod, ref *corev1.ConfigMapKeySelector) (string, bool, error) {
	data, ok := row.ConfigMaps[ref.Name]
	if !ok {
		return "", false, absent("configmap", ref.Name, ref.Optional)
	}
	v, ok := data.Data[ref.Key]
	if !ok && (ref.Optional == nil || !*ref.Optional) {
		return "", false, fmt.Errorf("couldn't find key %s in ConfigMap %s/%s", ref.Key, row.Pod.Namespace, ref.Name)
	}
	return v, ok, nil
}

func secretKey(row *projections.DesiredPod, ref *corev1.SecretKeySelector) (string, bool, error) {
	data, ok := row.Secrets[ref.Name]
	if !ok {
		return "", false, absent("secret", ref.Name, ref.Optional)
	}
	v, ok := data.Data[ref.Key]
	if !ok && (ref.Optional == nil || !*ref.Optional) {
		return "", false, fmt.Errorf("couldn't find key %s in Secret %s/%s", ref.Key, row.Pod.Namespace, ref.Name)
	}
	return string(v), ok, nil
}

// field is the downward API's value of a field path.
func field(pod *corev1.Pod, path string, n Node, podIP string) (string, error) {
	if name, key, ok := subscript(path); ok {
		switch name {
		case "metadata.labels":
			return pod.Labels[key], nil
		case "metadata.annotations":
			return pod.Annotations[key], nil
		}
	}
	switch path {
	case "metadata.name":
		return pod.Name, nil
	case "metadata.namespace":
		return pod.Namespace, nil
	case "spec.nodeName":
		return n.Name, nil
	case "spec.serviceAccountName":
		return pod.Spec.ServiceAccountName, nil
	case "status.podIP", "status.podIPs":
		return podIP, nil
	case "status.hostIP", "status.hostIPs":
		return n.IP, nil
	}
	return "", fmt.Errorf("unsupported fieldPath: %s", path)
}

// subscript splits "metadata.labels['app']".
func subscript(path string) (name, key string, ok bool) {
	name, key, ok = strings.Cut(path, "['")
	if !ok || !strings.HasSuffix(key, "']") {
		return path, "", false
	}
	return name, strings.TrimSuffix(key, "']"), true
}

func resourceField(row *projections.DesiredPod, c corev1.Container, ref *corev1.ResourceFieldSelector, n Node) (string, error) {
	if ref.ContainerName != "" {
		of := Find(row.Pod.Spec.Containers, ref.ContainerName)
		if of == nil {
			of = Find(row.Pod.Spec.InitContainers, ref.ContainerName)
		}
		if of == nil {
			return "", fmt.Errorf("container %s not found", ref.ContainerName)
		}
		c = *of
	}
	list, name, _ := strings.Cut(ref.Resource, ".")
	var q resource.Quantity
	switch list {
	case "limits":
		q = limit(c, corev1.ResourceName(name), n)
	case "requests":
		q = c.Resources.Requests[corev1.ResourceName(name)]
	default:
		return "", fmt.Errorf("unsupported container resource: %s", ref.Resource)
	}
	return divided(q, ref.Divisor, name == string(corev1.ResourceCPU)), nil
}

// limit is a container's, or all that the node has.
func limit(c corev1.Container, name corev1.ResourceName, n Node) resource.Quantity {
	q, ok := c.Resources.Limits[name]
	switch {
	case ok:
		return q
	case name == corev1.ResourceCPU:
		return n.CPU
	case name == corev1.ResourceMemory:
		return n.Memory
	}
	return q
}

// divided rounds up, as Kubernetes does.
func divided(q, by resource.Quantity, cpu bool) string {
	value, unit := q.Value(), max(1, by.Value())
	if cpu {
		if by.IsZero() {
			by = resource.MustParse("1")
		}
		value, unit = q.MilliValue(), max(1, by.MilliValue())
	}
	return strconv.FormatInt((value+unit-1)/unit, 10)
}

// service sets what Kubernetes and, before it, Docker links say about a service.
func (e *Environment) service(s projections.ServiceEnv) {
	if s.IP == "" || s.IP == corev1.ClusterIPNone || len(s.Ports) == 0 {
		return
	}
	prefix := strings.ToUpper(strings.ReplaceAll(s.Name, "-", "_"))
	first := strconv.Itoa(int(s.Ports[0].Port))
	e.set(prefix+"_SERVICE_HOST", s.IP)
	e.set(prefix+"_SERVICE_PORT", first)
	for _, p := range s.Ports {
		if p.Name != "" {
			e.set(prefix+"_SERVICE_PORT_"+strings.ToUpper(strings.ReplaceAll(p.Name, "-", "_")), strconv.Itoa(int(p.Port)))
		}
	}
	for i, p := range s.Ports {
		protocol, port := strings.ToLower(string(p.Protocol)), strconv.Itoa(int(p.Port))
		if protocol == "" {
			protocol = "tcp"
		}
		url := protocol + "://" + joinHostPort(s.IP, port)
		if i == 0 {
			e.set(prefix+"_PORT", url)
		}
		port = prefix + "_PORT_" + port + "_" + strings.ToUpper(protocol)
		e.set(port, url)
		e.set(port+"_PROTO", protocol)
		e.set(port+"_PORT", strconv.Itoa(int(p.Port)))
		e.set(port+"_ADDR", s.IP)
	}
}

func joinHostPort(host, port string) string {
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + ":" + port
}
