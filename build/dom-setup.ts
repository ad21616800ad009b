/** For component tests: how long they wait for what is to appear. A default of one second fails on a busy machine, where nothing is wrong. */
import { configure } from '@testing-library/react';

const appearsWithinMs = 10_000;

configure({ asyncUtilTimeout: appearsWithinMs });
