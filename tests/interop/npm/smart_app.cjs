// An app on the official JavaScript SMART client: node smart_app.cjs PORT CLIENT_ID IMAGING_FHIR_BASE OTHER_PATIENT
// After the launch /callback answers with what the client read and what it was refused, as JSON.
const { createServer } = require('node:http');
const { randomUUID } = require('node:crypto');
const smart = require('fhirclient');

const [port, clientId, imagingBase, otherPatient] = process.argv.slice(2);
const home = `http://127.0.0.1:${port}`;
const sessions = new Map();

/** The browser's session, as a web framework would keep it. */
function sessionOf(request, response) {
  const known = /session=([0-9a-f-]+)/.exec(request.headers.cookie ?? '')?.[1];
  if (sessions.has(known)) return sessions.get(known);
  const id = randomUUID();
  sessions.set(id, {});
  response.setHeader('Set-Cookie', `session=${id}; Path=/; HttpOnly`);
  return sessions.get(id);
}

async function refusal(asked) {
  return asked.then(() => null, (error) => error.statusCode ?? error.status ?? String(error));
}

async function reads(client) {
  const studies = await client.patient.request('ImagingStudy', { flat: true });
  return {
    patient: (await client.patient.read()).id,
    user: (await client.user.read()).id,
    studies: studies.map((study) => study.id).sort(),
    refusal: await refusal(client.request(`Patient/${otherPatient}`)),
  };
}

async function readsOfImagingServer(client) {
  const search = (patient) => client.request(`${imagingBase}/ImagingStudy?patient=${patient}`, { flat: true });
  const studies = await search(client.patient.id);
  return {
    studies: studies.map((study) => study.id).sort(),
    images: studies.map((study) => study.numberOfInstances),
    refusal: await refusal(search(otherPatient)),
  };
}

async function refreshed(client) {
  const first = client.state.tokenResponse;
  await client.refresh();
  const second = client.state.tokenResponse;
  return {
    ehr: await reads(client),
    imaging: await readsOfImagingServer(client),
    isAnother: first.access_token !== second.access_token && first.refresh_token !== second.refresh_token,
  };
}

async function callback(client) {
  return {
    granted: client.state.tokenResponse.scope,
    ehr: await reads(client),
    imaging: await readsOfImagingServer(client),
    refreshed: await refreshed(client).catch((error) => ({ failed: String(error) })),
  };
}

createServer(async (request, response) => {
  request.session = sessionOf(request, response);
  try {
    const path = new URL(request.url, home).pathname;
    const client = smart(request, response);
    if (path === '/launch') {
      const scope = 'launch openid fhirUser patient/*.rs offline_access';
      await client.authorize({ clientId, scope, redirectUri: `${home}/callback`, pkceMode: 'required' });
    } else if (path === '/callback') {
      const found = await callback(await client.ready());
      response.setHeader('Content-Type', 'application/json');
      response.end(JSON.stringify(found));
    } else {
      response.statusCode = 404;
      response.end();
    }
  } catch (error) {
    response.statusCode = 500;
    response.end(String(error.stack));
  }
}).listen(Number(port), '127.0.0.1', () => console.log('up'));
