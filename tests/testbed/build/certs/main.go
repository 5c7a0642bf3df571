// Command testbed-certs makes the keys and certificates of one cluster of the testbed.
//
//	testbed-certs cluster DIR                             a certificate authority, the API server's certificate, the service-account keys
//	testbed-certs client DIR PREFIX SECONDS USER GROUP... PREFIX.crt and PREFIX.key, signed by DIR's authority; good for SECONDS
//	testbed-certs token DIR                               the claims on stdin as a token (JWT), signed with DIR's service-account key
//
// SECONDS below 0: a certificate that expired so long ago.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

const lifetime = 10 * 365 * 24 * time.Hour

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "testbed-certs:", err)
		os.Exit(1)
	}
}

func newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	return key
}

func writePEM(path, kind string, der []byte) {
	check(os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
}

func writeKey(path string, key *ecdsa.PrivateKey) {
	der, err := x509.MarshalECPrivateKey(key)
	check(err)
	writePEM(path, "EC PRIVATE KEY", der)
}

func readPEM(path string) []byte {
	data, err := os.ReadFile(path)
	check(err)
	block, _ := pem.Decode(data)
	if block == nil {
		check(fmt.Errorf("%s holds no PEM block", path))
	}
	return block.Bytes
}

func readKey(path string) *ecdsa.PrivateKey {
	key, err := x509.ParseECPrivateKey(readPEM(path))
	check(err)
	return key
}

func template(name pkix.Name) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	check(err)
	return &x509.Certificate{
		SerialNumber:          serial,
		Subject:               name,
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(lifetime),
		BasicConstraintsValid: true,
	}
}

func cluster(dir string) {
	caKey := newKey()
	ca := template(pkix.Name{CommonName: "testbed-ca"})
	ca.IsCA = true
	ca.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	check(err)
	ca, err = x509.ParseCertificate(caDER)
	check(err)
	writePEM(filepath.Join(dir, "ca.crt"), "CERTIFICATE", caDER)
	writeKey(filepath.Join(dir, "ca.key"), caKey)

	server := template(pkix.Name{CommonName: "kube-apiserver"})
	server.KeyUsage = x509.KeyUsageDigitalSignature
	server.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	server.DNSNames = []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"}
	server.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	sign(server, ca, caKey, filepath.Join(dir, "apiserver"))

	saKey := newKey()
	writeKey(filepath.Join(dir, "sa.key"), saKey)
	public, err := x509.MarshalPKIXPublicKey(&saKey.PublicKey)
	check(err)
	writePEM(filepath.Join(dir, "sa.pub"), "PUBLIC KEY", public)
}

func sign(cert, ca *x509.Certificate, caKey *ecdsa.PrivateKey, prefix string) {
	key := newKey()
	der, err := x509.CreateCertificate(rand.Reader, cert, ca, &key.PublicKey, caKey)
	check(err)
	writePEM(prefix+".crt", "CERTIFICATE", der)
	writeKey(prefix+".key", key)
}

func client(dir, prefix, seconds, user string, groups []string) {
	ca, err := x509.ParseCertificate(readPEM(filepath.Join(dir, "ca.crt")))
	check(err)
	left, err := strconv.Atoi(seconds)
	check(err)
	cert := template(pkix.Name{CommonName: user, Organization: groups})
	cert.NotAfter = time.Now().Add(time.Duration(left) * time.Second)
	if !cert.NotBefore.Before(cert.NotAfter) {
		cert.NotBefore = cert.NotAfter.Add(-time.Hour)
	}
	cert.KeyUsage = x509.KeyUsageDigitalSignature
	cert.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	sign(cert, ca, readKey(filepath.Join(dir, "ca.key")), prefix)
}

func token(dir string) {
	key := readKey(filepath.Join(dir, "sa.key"))
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	check(err)
	claims, err := io.ReadAll(os.Stdin)
	check(err)
	encode := base64.RawURLEncoding.EncodeToString
	id := sha256.Sum256(public) // as the API server names its keys
	signed := encode([]byte(`{"alg":"ES256","kid":"`+encode(id[:])+`"}`)) + "." + encode(claims)
	digest := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	check(err)
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	fmt.Print(signed + "." + encode(signature))
}

func main() {
	switch {
	case len(os.Args) == 3 && os.Args[1] == "cluster":
		cluster(os.Args[2])
	case len(os.Args) >= 6 && os.Args[1] == "client":
		client(os.Args[2], os.Args[3], os.Args[4], os.Args[5], os.Args[6:])
	case len(os.Args) == 3 && os.Args[1] == "token":
		token(os.Args[2])
	default:
		check(fmt.Errorf("usage: testbed-certs cluster DIR | client DIR PREFIX SECONDS USER [GROUP...] | token DIR"))
	}
}
