// Package imagetest stands in for docker.io in tests: it makes nginx and busybox images out of
// Debian packages and serves them from a registry on loopback, so that the manifests which people
// really write (image: nginx:alpine) run without the internet.
//
// Every tag of an image holds the same software, the Debian release's, under a digest of its own:
// a rollout from nginx:1.14 to nginx:stable pulls and replaces as it would elsewhere.
//
// Packages and images are kept under the user's cache directory. The first run downloads (a few
// seconds), later ones only read. The bytes depend on the packages alone: no clock, no host name.
package imagetest
