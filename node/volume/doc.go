// Package volume makes on this machine what pods mount: directories, memory, paths of the host, and files whose content
// changes all at once. Errors are in Kubernetes' words, for they become what people read.
package volume
