import { mainJob } from './scenario/main-job.ts';

mainJob('postgres');
