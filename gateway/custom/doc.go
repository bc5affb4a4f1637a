// Package custom is what a CustomResourceDefinition says of its objects, made into
// something that can be asked: schemas prune, default and validate, with
// Kubernetes' own code, rules in CEL too; columns print. It also holds definitions
// themselves to Kubernetes' rules.
//
// Compiling takes milliseconds, so it is done once for each edition of a
// definition. What is asked is a function of the definition and the objects:
// admission, which is pure, is given this package as an interface, and both doors
// give it the same one.
package custom
