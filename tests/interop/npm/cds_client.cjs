// Medplum's client as a CDS client: node cds_client.cjs FHIR_BASE CDS_SERVICES SERVICE PATIENT PRACTITIONER [ISSUER KEY_FILE]
// Says as JSON what it discovered, what it asked (it fills the prefetch templates itself) and what it was answered.
const { createPrivateKey, randomUUID, sign } = require('node:crypto');
const { readFileSync } = require('node:fs');
const { MedplumClient, buildCdsRequest } = require('@medplum/core');

const [fhirBase, services, serviceId, patientId, practitionerId, issuer, keyFile] = process.argv.slice(2);

/** What a CDS client proves itself by: a JWT of its own for exactly this address. */
function proof(url) {
  const jwk = JSON.parse(readFileSync(keyFile, 'utf8'));
  const now = Math.floor(Date.now() / 1000);
  const header = { alg: 'ES384', typ: 'JWT', kid: jwk.kid };
  const claims = { iss: issuer, aud: url, iat: now, exp: now + 300, jti: randomUUID() };
  const said = [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
  const key = createPrivateKey({ key: jwk, format: 'jwk' });
  return `${said}.${sign('sha384', said, { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
}

function signing(url, options) {
  if (!keyFile || !String(url).startsWith(services)) return fetch(url, options);
  return fetch(url, { ...options, headers: { ...options.headers, Authorization: `Bearer ${proof(String(url))}` } });
}

async function main() {
  const { origin, pathname } = new URL(fhirBase);
  const client = new MedplumClient({
    baseUrl: `${origin}/`, fhirUrlPath: pathname.slice(1), cdsServicesUrl: services, fetch: signing,
  });
  const discovered = await client.getCdsServices();
  const user = await client.readResource('Practitioner', practitionerId);
  const service = discovered.services.find((one) => one.id === serviceId);
  const context = { userId: `Practitioner/${practitionerId}`, patientId };
  const request = await buildCdsRequest(client, user, service, context);
  const response = await client.callCdsService(serviceId, request);
  return { services: discovered.services, request, response };
}

main().then(
  (said) => console.log(JSON.stringify(said)),
  (error) => {
    console.error(String(error.stack), JSON.stringify(error.outcome ?? null));
    process.exitCode = 1;
  },
);
