// The reference: LiveStore's own sync backend as its documentation sets it up, with its default storage
// (the SQLite database of the Durable Object).
import { makeDurableObject, makeWorker } from '@livestore/sync-cf/cf-worker'

export class SyncBackendDO extends makeDurableObject({}) {}

export default makeWorker({ syncBackendBinding: 'SYNC_BACKEND_DO', enableCORS: true })
